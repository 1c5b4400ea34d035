/** What a connection to the worker is upgraded to for the frames of a session. */
export const attachProtocol = 'opencomputer-exec';
