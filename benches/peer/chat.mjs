// Chat over socket.io: join a room, send, acknowledge after the commit, broadcast.
import { Server } from 'socket.io';
import { caller } from './account.mjs';
import { direct } from './database.mjs';

const MAX_MISSED = 200;

const JOIN = {
  name: 'join',
  text: `select c.last_seq, c.closed_at is not null as is_closed
         from stm.chat_members m join stm.chats c on c.id = m.chat_id
         where m.chat_id = $1 and m.user_id = $2 and m.left_at is null`,
};
const MISSED = {
  name: 'missed',
  text: `select m.id, m.seq, m.sender_type, m.sender_id, u.first_name || ' ' || u.last_name as sender_name, m.message,
                m.message_type, m.created_at
         from stm.messages m join stm.users u on u.id = m.sender_id
         where m.chat_id = $1 and m.seq > $2
         order by m.seq
         limit $3`,
};
// One statement, so one transaction. Messages of a chat are numbered without gaps: its row is locked until the commit.
const SEND = {
  name: 'send',
  text: `with chat as (
             update stm.chats c
             set last_seq = c.last_seq + 1
             from stm.chat_members m
             where c.id = $1 and c.closed_at is null and m.chat_id = c.id and m.user_id = $2 and m.left_at is null
               and not exists (select from stm.messages x
                               where x.chat_id = $1 and x.sender_id = $2 and x.client_message_id = $3)
             returning c.id, c.last_seq, c.member_ids, m.side
         ), message as (
             insert into stm.messages (chat_id, seq, sender_id, sender_type, client_message_id, message, message_type)
             select id, last_seq, $2, side, $3, $4, $5 from chat
             returning id, seq, created_at
         )
         select message.id, message.seq, message.created_at, chat.member_ids, chat.side from message, chat`,
};
const SENT_BEFORE = {
  name: 'sent_before',
  text: `select id, seq, created_at from stm.messages
         where chat_id = $1 and sender_id = $2 and client_message_id = $3`,
};
const NAME = { name: 'name', text: "select first_name || ' ' || last_name as name from stm.users where id = $1" };
const NOTIFY = {
  name: 'notify',
  text: `insert into stm.notifications (recipient_id, type, title, message, metadata)
         select unnest($1::bigint[]), 'message', $2, left($3, 140), $4`,
};

const one = async (statement, values) => (await direct.query({ ...statement, values })).rows[0];

// Returns what emits an event to all sockets of a user.
export function chat(server) {
  const io = new Server(server, {
    transports: ['websocket'], serveClient: false, perMessageDeflate: false, pingInterval: 25_000, pingTimeout: 20_000,
  });
  const namespace = io.of('/chat');
  namespace.use(async (socket, next) => {
    try {
      const user = await caller(direct, socket.handshake.auth.token);
      if (!user) return next(new Error('unauthorized'));
      const { name } = await one(NAME, [user.sub]);
      socket.data = { userId: user.sub, name };
      next();
    } catch {
      next(new Error('unavailable'));
    }
  });
  namespace.on('connection', (socket) => {
    // Drops the upgrade request, as socket.io recommends for saving memory.
    socket.conn.request = null;
    const { userId } = socket.data;
    socket.join(`user:${userId}`);
    socket.on('join_chat', answered((payload) => join(socket, payload)));
    socket.on('send_message', answered((payload) => send(namespace, socket, payload)));
    socket.emit('connected', { message: 'Connected', userId });
  });
  return (userId, event, payload) => namespace.to(`user:${userId}`).emit(event, payload);
}

// A handler whose result, or refusal, is the acknowledgement.
function answered(handle) {
  return async (payload, ack) => {
    let answer;
    try {
      answer = await handle(payload);
    } catch (error) {
      answer = { error: error.message };
    }
    if (typeof ack === 'function') ack(answer);
  };
}

async function join(socket, { chatId, afterSeq }) {
  const { userId } = socket.data;
  const chat = await one(JOIN, [chatId, userId]);
  if (!chat) throw new Error('forbidden');
  if (chat.is_closed) throw new Error('chat_closed');
  // Before the messages are read: none is missed in between.
  socket.join(chatId);
  const joined = { chatId, message: 'Joined chat', lastSeq: chat.last_seq };
  if (afterSeq !== undefined) {
    const { rows } = await direct.query({ ...MISSED, values: [chatId, afterSeq, MAX_MISSED] });
    joined.messages = rows;
    joined.hasMore = (rows.at(-1)?.seq ?? chat.last_seq) < chat.last_seq;
  }
  socket.emit('joined_chat', joined);
  socket.to(chatId).emit('user_joined', { userId, chatId });
  return joined;
}

async function send(namespace, socket, { chatId, message, message_type = 'text', clientMessageId = null }) {
  const { userId, name } = socket.data;
  const text = typeof message === 'string' ? message.trim() : '';
  if (text.length === 0 || text.length > 4000) throw new Error('message must have 1 to 4000 characters');
  const row = await one(SEND, [chatId, userId, clientMessageId, text, message_type]);
  if (!row) {
    const before = clientMessageId && (await one(SENT_BEFORE, [chatId, userId, clientMessageId]));
    if (!before) throw new Error('forbidden');
    return before;
  }
  const { id, seq, created_at, member_ids, side } = row;
  socket.to(chatId).emit('new_message', {
    chatId, id, seq, sender_type: side, sender_id: userId, sender_name: name, message: text, message_type, created_at,
  });
  const absent = member_ids.filter((member) => member !== userId && !isPresent(namespace, chatId, member));
  if (absent.length > 0) {
    await direct.query({
      ...NOTIFY, values: [absent, `New message from ${name}`, text, { chatId, messageId: id }],
    });
  }
  return { id, seq, created_at };
}

function isPresent(namespace, chatId, userId) {
  const { rooms } = namespace.adapter;
  const present = rooms.get(chatId);
  return [...(rooms.get(`user:${userId}`) ?? [])].some((socket) => present?.has(socket));
}
