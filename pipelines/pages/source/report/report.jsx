/** The report of a run: `data` is a Report of schemas/charts.py. */
export function Report({data}) {
  return <main>{data.kind}</main>;
}
