import { createServer } from 'node:http';

// The least that answers: Node itself and its HTTP server.
createServer((_request, response) => response.end()).listen(process.env['EMPTY_SERVER_SOCKET']);
process.once('disconnect', () => process.exit(0));
