// Measures Socket.IO's Redis streams adapter for bench/history: the CPU of emitting a message, which
// the adapter records, of restoring a session that has missed the messages of one room, and of
// restoring it and encoding them. The adapter has one stream for all rooms, so that it reads those
// of the others, too.
//
//   node history.mjs ADDRESS REDIS_PID ROOMS MESSAGES BYTES JOINS
//
// It prints nanoseconds, as the Go program does.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createAdapter } from '@socket.io/redis-streams-adapter';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import { Encoder, PacketType } from 'socket.io-parser';

const [address, pid, ...numbers] = process.argv.slice(2);
const [rooms, messages, bytes, joins] = numbers.map(Number);
const [host, port] = address.split(':');
const redis = new Redis({ host, port: Number(port) });
const total = rooms * messages;
const io = new Server(createServer(), {
  adapter: createAdapter(redis, { maxLen: total }),
  connectionStateRecovery: { maxDisconnectionDuration: 3_600_000 },
});
const adapter = io.of('/').adapter;
const arg = { user: 'ana', text: 'x'.repeat(Math.max(0, bytes - 26)) };

// redisCPU returns the CPU time of Redis in nanoseconds, in steps of 10 ms.
function redisCPU() {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 1e7;
}

// each measures do, which has done something n times when it returns.
async function each(n, work) {
  const redisBefore = redisCPU();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return [Math.round(((user + system) * 1000) / n), Math.round((redisCPU() - redisBefore) / n)];
}

// The adapter starts to read its stream when it has connected.
await redis.ping();
await new Promise((resolve) => setTimeout(resolve, 500));

const [publish, publishRedis] = await each(total, async () => {
  for (let sent = 0; sent < total; ) {
    for (const until = Math.min(total, sent + 64); sent < until; sent++) {
      io.to(`chat:${sent % rooms}`).emit('message', arg);
    }
    while ((await redis.xlen('socket.io')) < sent) await new Promise(setImmediate);
  }
});

// The packets of a session that is restored are encoded as they are for its client.
const encoder = new Encoder();
function encode(missed) {
  for (const data of missed) encoder.encode({ type: PacketType.EVENT, nsp: '/', data });
}

// A session that has the entry before the first message misses all.
const [[first]] = await redis.xrange('socket.io', '-', '+', 'COUNT', 1);
const restore = (work) => each(joins, async () => {
  for (let i = 0; i < joins; i++) {
    const room = `chat:${1 + (i % (rooms - 1))}`;
    await adapter.persistSession({ sid: `s${i}`, pid: `p${i}`, rooms: [room], data: {} });
    const restored = await adapter.restoreSession(`p${i}`, first);
    if (restored.missedPackets.length !== messages) {
      throw new Error(`${restored.missedPackets.length} messages were restored instead of ${messages}`);
    }
    work(restored.missedPackets);
  }
});
const [read, readRedis] = await restore(() => {});
const [join, joinRedis] = await restore(encode);
console.log(JSON.stringify({
  Publish: publish, PublishRedis: publishRedis, Read: read, ReadRedis: readRedis, Join: join, JoinRedis: joinRedis,
}));
process.exit(0);
