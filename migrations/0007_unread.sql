-- Unread messages are counted from an index alone: who sent a message now rides in the index that finds it.
--
-- One statement, so that the strongest lock is taken at once: building the index under a weaker one first would let
-- the message writer, which reads the table before it writes, wait for us while we wait for it. Reads and writes
-- of messages wait while the index is built.
alter table stm.messages
    drop constraint messages_chat_id_seq_key,
    add constraint messages_chat_id_seq_key unique (chat_id, seq) include (sender_id);
