export { announceKey } from './announce.ts';
export { type NewKey } from './auth/bootstrap.ts';
export { dataFiles, loadConfig, type ServerConfig } from './config.ts';
export { type RunningServer, startServer, type StartOptions } from './server.ts';
