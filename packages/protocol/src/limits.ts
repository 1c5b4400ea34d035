/**
 * Every limit that clients can reach, in one place. The API's documentation and its errors use these. Sizes are in
 * bytes unless the name says otherwise, times in seconds.
 */
export const limits = {
  /** Body of any JSON request. */
  jsonBodyBytes: 1024 * 1024,
  /** Nested arrays and objects in a JSON request. */
  jsonDepth: 64,
  /** Body of a JSON request with a command, whose arguments may take three times their bytes in JSON. */
  commandBodyBytes: 6 * 1024 * 1024 + 64 * 1024,
  /** Sandbox metadata: number of keys, length of a key and of a value (characters), all of it together. */
  metadataKeys: 64,
  metadataKeyLength: 128,
  metadataValueLength: 4096,
  metadataBytes: 16 * 1024,
  /** Environment variables: number, length of a name (characters), all of it together. */
  envVars: 512,
  envNameLength: 256,
  envBytes: 128 * 1024,
  /** Idle timeout of a sandbox; 0 means never. */
  timeoutSecondsMax: 30 * 24 * 3600,
  timeoutSecondsDefault: 300,
  /** Shapes. An installation may set other maximums of CPU and memory. */
  cpuCountMin: 1,
  cpuCountMax: 4,
  cpuCountDefault: 1,
  memoryMBMin: 128,
  memoryMBMax: 2048,
  memoryMBDefault: 1024,
  diskMBDefault: 20480,
  diskMBMax: 262144,
  /** Commands: bytes of one argument, and of all together (each with its NUL and a pointer to it), as Linux counts. */
  execArgBytes: 128 * 1024 - 1,
  execArgsBytes: 2 * 1024 * 1024,
  execTimeoutSecondsDefault: 60,
  execTimeoutSecondsMax: 24 * 3600,
  /** How much output of a command is kept, both streams together; older output is dropped and `truncated` is set. */
  execOutputBytes: 8 * 1024 * 1024,
  /** How much output of a session is kept for clients that attach later. */
  sessionOutputBytes: 1024 * 1024,
  /** The largest value for how long a session may run on with no client attached. */
  runAfterDisconnectSecondsMax: 30 * 24 * 3600,
  /** Size of a terminal, in characters. */
  terminalMax: 1000,
  terminalColsDefault: 80,
  terminalRowsDefault: 24,
  /** Clients attached to sessions, per sandbox and in the whole installation. */
  attachedPerSandbox: 512,
  attachedClients: 4096,
  /** Lines of one answer of the logs. */
  logLinesDefault: 1000,
  logLinesMax: 10_000,
  /** Paths inside the sandbox (PATH_MAX of Linux). */
  pathBytes: 4096,
  /** Entries in a list of a directory; `X-Truncated` says that there are more. */
  listedFiles: 100_000,
  /** One uploaded file. */
  fileBytes: 64 * 1024 * 1024 * 1024,
  /** A page of a listing. */
  pageSizeDefault: 200,
  pageSizeMax: 1000,
  /** Checkpoints of one sandbox, by kind; configurable per installation. */
  checkpointsFull: 10,
  checkpointsDiskOnly: 100,
  /** Name of a checkpoint (characters). */
  checkpointNameLength: 128,
  /** Forks made in one call. */
  forks: 50,
  /** Patches of one checkpoint, size of one script, and how long it may run. */
  patches: 100,
  patchScriptBytes: 64 * 1024,
  patchDescriptionLength: 1024,
  patchTimeoutSeconds: 300,
} as const;
