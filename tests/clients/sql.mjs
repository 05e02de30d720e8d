// Changes made behind the service's back, as another process would make them.
import { execFileSync } from "node:child_process";

/** Runs SQL; gives what it prints. */
export const sql = (text) =>
  execFileSync(`${process.env.PG_BINDIR}/psql`, ["-qXAt", "-v", "ON_ERROR_STOP=1", process.env.SQL_URL, "-c", text], { encoding: "utf8" }).trim();
