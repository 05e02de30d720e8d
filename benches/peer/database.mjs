// The two ways to the database, as the service has them: REST through the pooler, chat over direct connections.
import pg from 'pg';

// Ids and cents are far below 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

// Connections are kept open, because opening one costs 3 ms of hashing.
const pool = (connectionString, max) => new pg.Pool({ connectionString, max, idleTimeoutMillis: 0 });
export const pooler = pool(process.env.DATABASE_URL, Number(process.env.POOLER_MAX_CONNECTIONS));
export const direct = pool(process.env.DIRECT_URL, 15);

// The service's own statements, by name.
export const statements = JSON.parse(process.env.STATEMENTS);

// Rows as arrays, because the statements' column names carry sqlx's type annotations.
export async function rows(client, text, values) {
  const result = await client.query({ text, values, rowMode: 'array' });
  return result.rows;
}

export async function transaction(begin, work) {
  const client = await pooler.connect();
  let error;
  try {
    await client.query(begin);
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (thrown) {
    await client.query('rollback').catch((lost) => (error = lost));
    throw thrown;
  } finally {
    client.release(error);
  }
}

export function refusal(statusCode, message) {
  return Object.assign(new Error(message), { statusCode });
}
