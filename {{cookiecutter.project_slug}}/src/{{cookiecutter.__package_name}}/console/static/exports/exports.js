import { base, problemOf, report, request } from "../console.js";

const PREVIEWED_ROWS = 20;
/** Maximum number of characters of a record that are kept. */
const MAX_LENGTH = 64 * 1024;
const LINE_FEED = 10;
/** The path of an export in one format. */
const PATH = /^\/export\/(.+)\.([a-z0-9]+)$/;

const section = document.getElementById("exports");

list();

/** Show a panel for each table that the service exports. */
async function list() {
  try {
    const { paths } = await (await request("openapi.json")).json();
    const tables = tablesOf(Object.keys(paths));
    const panels = await Promise.all([...tables].map(([name, extensions]) => panelOf(name, extensions)));
    report(section, panels.length > 0 ? "" : "The service exports no table.");
    section.querySelector(".tables").append(...panels);
  } catch (error) {
    report(section, error.message, "bad");
  }
}
