import {Component} from "preact";

/** A section that cannot be drawn says so, and the others are there all the same. */
export class Guard extends Component {
  static getDerivedStateFromError(error) {
    return {error};
  }

  componentDidCatch(error) {
    console.error(error);
  }

  render({children}, {error}) {
    return error ? <p class="note">This part could not be drawn: {String(error.message ?? error)}</p> : children;
  }
}
