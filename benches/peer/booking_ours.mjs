// A booking with the service's own statement: one call.
import { randomUUID } from 'node:crypto';
import { refusal, rows, statements } from './database.mjs';
import { MAX_MESSAGE_CHARS, check, dateInWords, details, imageMessages } from './booking_rules.mjs';

export const { begin } = statements;

const REQUESTED = ' has requested ';

export async function book(client, userId, asked) {
  const images = imageMessages(asked);
  const chatId = randomUUID();
  const messageIds = Array.from({ length: images.length + 2 }, () => randomUUID());
  const [row] = await rows(client, statements.book, [
    userId, asked.serviceId, asked.providerId, asked.zipcode, asked.location, JSON.stringify(asked.answers), asked.images, [],
    asked.requiresInPersonVisit, asked.visitCents, asked.sizeSqft, asked.scheduledAt, asked.budgetCents, chatId, messageIds,
    'New booking request: [SERVICE_NAME]', details(asked), images, dateInWords(asked), MAX_MESSAGE_CHARS,
    'New job request', REQUESTED,
  ]);
  if (!row) throw refusal(404, 'no such customer');
  const [isBanned, serviceName, isActive, offersService, servesZipCode, unpaidJobId, , hasOpenJob, hasAcceptedJob] = row;
  if (isBanned) throw refusal(403, 'this account is banned');
  if (!serviceName) throw refusal(404, 'no such service or provider');
  check({ isActive, offersService, servesZipCode, unpaidJobId, hasOpenJob, hasAcceptedJob });
  const [id, createdAt, responseDeadline, chatCreatedAt, providerUserId, notice, notificationId, notifiedAt, , unreadCount] = row.slice(10);
  return {
    job: { id, createdAt, responseDeadline },
    chat: { id: chatId, createdAt: chatCreatedAt },
    customer: { userId, name: notice.split(REQUESTED)[0] },
    provider: { serviceName, userId: providerUserId },
    notified: { id: notificationId, createdAt: notifiedAt, unreadCount },
  };
}
