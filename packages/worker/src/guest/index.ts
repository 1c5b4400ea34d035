export * from './channel.ts';
export * from './egress.ts';
export * from './exec.ts';
export * from './files.ts';
export * from './sessions.ts';
export * from './system.ts';
