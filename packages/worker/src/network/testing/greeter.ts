// Run by the tests inside a namespace: a TCP server that tells each client the address it came from.
import { createServer } from 'node:net';

const server = createServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.end(`from ${socket.remoteAddress}`);
});
server.listen(Number(process.argv[3]), process.argv[2], () => process.stdout.write('listening\n'));
