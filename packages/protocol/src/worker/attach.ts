/** The name of the protocol to which a connection to the worker is upgraded for the frames of a session. */
export const attachProtocol = 'opencomputer-exec';
