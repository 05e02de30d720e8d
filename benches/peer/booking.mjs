// POST /customer/booking, with either kind of statements. It leaves the rows that the service leaves.
import { only } from './account.mjs';
import { pooler, transaction } from './database.mjs';
import * as own from './booking_own.mjs';
import * as ours from './booking_ours.mjs';
import { checked, notification } from './booking_rules.mjs';

const amount = { type: 'number', minimum: 0, maximum: 10_000_000 };
const REQUEST = {
  type: 'object',
  required: ['serviceId', 'providerId', 'zipcode'],
  properties: {
    serviceId: { type: 'integer' },
    providerId: { type: 'integer' },
    zipcode: { type: 'string', pattern: '^[0-9]{5}$' },
    location: { type: 'string', minLength: 1, maxLength: 200 },
    answers: { type: ['object', 'array'], default: {} },
    preferredDate: { type: 'string', format: 'date-time' },
    requiresInPersonVisit: { type: 'boolean', default: false },
    inPersonVisitCost: amount,
    customerBudget: amount,
    images: { type: 'array', maxItems: 20, default: [], items: { type: 'string', pattern: '^https?://' } },
    projectSizeSqft: { type: 'integer', minimum: 1 },
  },
};

const string = { type: 'string' };
const object = (properties) => ({ type: 'object', properties });
const CREATED = object({
  job: object({
    id: { type: 'integer' }, status: string, service: string, location: string,
    scheduled_at: { type: ['string', 'null'] }, response_deadline: string, created_at: string,
  }),
  chat: object({ id: string, created_at: string }),
  message: string,
});

export function booking(app, emit) {
  const { begin, book } = process.env.BOOKING_STATEMENTS === 'ours' ? ours : own;
  const options = { preHandler: only(pooler, 'customer'), schema: { body: REQUEST, response: { 201: CREATED } } };
  app.post('/customer/booking', options, async (request, reply) => {
    const asked = checked(request.body);
    const booked = await transaction(begin, (client) => book(client, request.user.sub, asked));
    emit(booked.provider.userId, 'notification:created', notificationCreated(booked));
    reply.code(201);
    return createdView(asked, booked);
  });
}

function createdView(asked, { job, chat, provider }) {
  return {
    job: {
      id: job.id,
      status: 'new',
      service: provider.serviceName,
      location: asked.place,
      scheduled_at: asked.scheduledAt?.toISOString() ?? null,
      response_deadline: job.responseDeadline.toISOString(),
      created_at: job.createdAt.toISOString(),
    },
    chat: { id: chat.id, created_at: chat.createdAt.toISOString() },
    message: 'Job request created successfully. The service provider has been notified.',
  };
}

function notificationCreated({ job, chat, customer, provider, notified }) {
  const { metadata, ...words } = notification(customer, provider, job.id, chat.id);
  return {
    notification: {
      id: notified.id, recipient_type: 'service_provider', recipient_id: provider.userId, type: 'job', ...words,
      is_read: false, created_at: notified.createdAt.toISOString(),
      metadata: { ...metadata, job_id: job.id, chat_id: chat.id },
    },
    totalUnreadCount: notified.unreadCount,
  };
}
