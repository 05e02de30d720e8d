// The rules and the words of a booking: no I/O.
import { refusal } from './database.mjs';

export const MAX_MESSAGE_CHARS = 4000;
const IMAGES_PER_MESSAGE = 10;
const MONTHS = [
  'January', 'February', 'March', 'April', 'May', 'June',
  'July', 'August', 'September', 'October', 'November', 'December',
];

export function checked(body) {
  const scheduledAt = body.preferredDate ? new Date(body.preferredDate) : null;
  if (scheduledAt && scheduledAt <= new Date()) throw refusal(400, 'preferredDate must be in the future');
  const cents = (dollars) => (dollars === undefined ? null : Math.round(dollars * 100));
  return {
    ...body,
    location: body.location ?? null,
    place: body.location ?? body.zipcode,
    scheduledAt,
    budgetCents: cents(body.customerBudget),
    visitCents: cents(body.inPersonVisitCost),
    sizeSqft: body.projectSizeSqft ?? null,
  };
}

// Refuses what the marketplace's rules refuse.
export function check(provider) {
  if (!provider.isActive) throw refusal(400, 'this provider does not take bookings at present');
  if (!provider.offersService) throw refusal(400, 'this provider does not offer the service');
  if (!provider.servesZipCode) throw refusal(400, 'this provider does not serve the ZIP code');
  if (provider.unpaidJobId) throw refusal(409, `You have an unpaid job (#${provider.unpaidJobId})`);
  if (provider.hasOpenJob) throw refusal(409, 'there is an open job with this provider already');
  if (provider.hasAcceptedJob) throw refusal(409, 'a provider has accepted one of your jobs');
}

export function deadline(provider) {
  return new Date(Date.now() + provider.deadlineMinutes * 60_000);
}

// The messages that the chat begins with.
export function firstMessages(asked, customer, provider) {
  const ofCustomer = (type, text) => ({ sender: customer.userId, side: 'customer', type, text });
  const messages = [ofCustomer('text', firstText(asked, provider))];
  messages.push(...imageMessages(asked).map((text) => ofCustomer('image', text)));
  if (provider.template) {
    const text = filled(provider.template, asked, customer, provider);
    messages.push({ sender: provider.userId, side: 'service_provider', type: 'text', text });
  }
  return messages;
}

// The texts of the messages with the customer's pictures.
export function imageMessages(asked) {
  const texts = [];
  for (let from = 0; from < asked.images.length; from += IMAGES_PER_MESSAGE) {
    const images = asked.images.slice(from, from + IMAGES_PER_MESSAGE);
    texts.push(JSON.stringify({ images, count: images.length }));
  }
  return texts;
}

export function notification(customer, provider, jobId, chatId) {
  return {
    title: 'New job request',
    message: `${customer.name} has requested ${provider.serviceName}`,
    metadata: { jobId, chatId },
  };
}

function firstText(asked, provider) {
  return `New booking request: ${provider.serviceName}${details(asked)}`.slice(0, MAX_MESSAGE_CHARS);
}

// What follows the service's name in the first message.
export function details(asked) {
  const lines = ['', `Location: ${asked.place}`];
  if (asked.scheduledAt) lines.push(`Preferred date: ${inWords(asked.scheduledAt)}`);
  if (asked.budgetCents) lines.push(`Budget: $${(asked.budgetCents / 100).toFixed(2)}`);
  for (const name of Object.keys(asked.answers).sort()) {
    const answer = plain(asked.answers[name]);
    if (answer) lines.push(Array.isArray(asked.answers) ? answer : `${name}: ${answer}`);
  }
  return lines.join('\n');
}

function plain(answer) {
  if (answer === null) return '';
  if (Array.isArray(answer)) return answer.map(plain).filter(Boolean).join(', ');
  if (typeof answer === 'boolean') return answer ? 'yes' : 'no';
  return typeof answer === 'object' ? JSON.stringify(answer) : String(answer).trim();
}

function filled(template, asked, customer, provider) {
  const values = {
    '[CUSTOMER_NAME]': customer.name,
    '[SERVICE_NAME]': provider.serviceName,
    '[LOCATION]': asked.place,
    '[SCHEDULED_DATE]': dateInWords(asked),
  };
  return template.replace(/\[[A-Z_]+\]/g, (name) => values[name] ?? name).slice(0, MAX_MESSAGE_CHARS);
}

export function dateInWords(asked) {
  return asked.scheduledAt ? inWords(asked.scheduledAt) : 'a date to be agreed';
}

function inWords(date) {
  const hour = date.getUTCHours();
  const time = `${hour % 12 || 12}:${String(date.getUTCMinutes()).padStart(2, '0')} ${hour < 12 ? 'AM' : 'PM'}`;
  return `${MONTHS[date.getUTCMonth()]} ${date.getUTCDate()}, ${date.getUTCFullYear()}, ${time} UTC`;
}
