// The two reads, with the service's own statements.
import { only } from './account.mjs';
import { pooler, refusal, rows, statements } from './database.mjs';

const string = { type: 'string' };
const integer = { type: 'integer' };
const object = (properties) => ({ type: 'object', properties });

const PROFILE = object({
  user: object({ name: string, email: string, phone: string }),
  address: string,
  region: string,
  zipcode: { type: ['string', 'null'] },
  statistics: object({ totalJobs: integer, totalSpent: { type: 'number' } }),
});

const MESSAGE = object({
  id: string, seq: integer, sender_type: string, sender_id: integer, sender_name: string, message: string,
  message_type: string, created_at: string,
});

const MESSAGES = {
  params: object({ id: { type: 'string', format: 'uuid' } }),
  querystring: object({
    limit: { type: 'integer', minimum: 1, maximum: 100, default: 100 },
    before: { type: 'integer', minimum: 1 },
    after: { type: 'integer', minimum: 0 },
  }),
  response: { 200: object({ chatId: string, messages: { type: 'array', items: MESSAGE } }) },
};

export function reads(app) {
  const profile = { preHandler: only(pooler, 'customer'), schema: { response: { 200: PROFILE } } };
  app.get('/customer/profile', profile, async (request) => {
    const [row] = await rows(pooler, statements.profile, [request.user.sub]);
    if (!row) throw refusal(404, 'no such customer');
    const [first, last, email, phone, address, region, zipcode, totalJobs, spentCents] = row;
    return {
      user: { name: `${first} ${last}`, email, phone: phone ?? '' },
      address,
      region,
      zipcode,
      statistics: { totalJobs, totalSpent: spentCents / 100 },
    };
  });

  app.get('/chat/:id/messages', { preHandler: only(pooler), schema: MESSAGES }, async (request) => {
    const { limit, before = null, after = null } = request.query;
    const values = [request.params.id, request.user.sub, after, before, limit];
    const found = await rows(pooler, statements.messages, values);
    if (found.length === 0) throw refusal(404, 'no such chat');
    // A member of a chat without messages is one row of nulls.
    return { chatId: request.params.id, messages: found.filter((row) => row[0] !== null).map(message) };
  });
}

function message([id, seq, sender_type, sender_id, sender_name, message, message_type, created_at]) {
  return { id, seq, sender_type, sender_id, sender_name, message, message_type, created_at: created_at.toISOString() };
}
