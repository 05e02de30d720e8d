// The service's hottest paths as a careful Node backend has them: what the bench compares with.
//
// Environment: DATABASE_URL, DIRECT_URL, JWT_SECRET, POOLER_MAX_CONNECTIONS, STATEMENTS (JSON), and
// BOOKING_STATEMENTS (`own`, or `ours` for the service's).
import Fastify from 'fastify';
import { booking } from './booking.mjs';
import { chat } from './chat.mjs';
import { reads } from './reads.mjs';

const app = Fastify({ logger: false });
reads(app);
booking(app, chat(app.server));
const address = await app.listen({ host: '127.0.0.1', port: 0 });
console.log(`listening at port ${new URL(address).port}`);
