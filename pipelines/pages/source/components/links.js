import {createContext} from "preact";

/** Where the page has a place for what a piece names: {document: DOC → address}. Null in a report, which is one page. */
export const Links = createContext(null);
