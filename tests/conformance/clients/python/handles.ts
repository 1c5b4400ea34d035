import type { SandboxHandle } from '../client.ts';
import type {
  AgentListeners,
  AttachOptions,
  LiveAgent,
  LiveSession,
  LiveShell,
  LiveTerminal,
  ListedSession,
} from '../live.ts';
import type { Call, Callbacks, Held, PythonProcess } from './process.ts';

/** An object of the client that stays in the Python process. */
class Remote {
  readonly #process: PythonProcess;
  readonly #object: number;

  constructor(process: PythonProcess, held: Held) {
    this.#process = process;
    this.#object = held.$object;
  }

  call<T>(call: string, args: Record<string, unknown> = {}, callbacks: Callbacks = {}): Promise<T> {
    const made: Call = { object: this.#object, call, arguments: args, callbacks };
    const answer = this.#process.call(made) as Promise<T>;
    // Who does not wait for it, does not want to know.
    answer.catch(() => undefined);
    return answer;
  }

  toStream(content: ReadableStream<Uint8Array>): Promise<unknown> {
    return this.#process.toStream(content);
  }

  /** Calls something that gives a further object. */
  async open(call: string, args: Record<string, unknown>, callbacks: Callbacks): Promise<Remote> {
    return new Remote(this.#process, await this.call<Held>(call, args, callbacks));
  }

  async openAll(call: string, args: Record<string, unknown>): Promise<Remote[]> {
    const all = await this.call<Held[]>(call, args);
    return all.map((held) => new Remote(this.#process, held));
  }

  text(name: string): string {
    const value = this.#process.property(this.#object, name);
    return typeof value === 'string' ? value : '';
  }

  number(name: string): number | undefined {
    const value = this.#process.property(this.#object, name);
    return typeof value === 'number' ? value : undefined;
  }
}

const optionNames = 'args env cwd timeout maxRunAfterDisconnect from cols rows prompt model maxTurns'.split(
  ' ',
);

/** Options, and those of them that are callbacks. What listens to a session has more members, which are none. */
function split(options: object): [Record<string, unknown>, Callbacks] {
  const entries = Object.entries(options);
  const isCallback = ([, value]: [string, unknown]): boolean => typeof value === 'function';
  return [
    Object.fromEntries(entries.filter(([name]) => optionNames.includes(name))),
    Object.fromEntries<Callbacks[string]>(entries.filter(isCallback)),
  ];
}

/** Names of an object's fields, as the wire has them. */
function toListed(sessions: (ListedSession & { sessionId: string; sandboxId: string })[]): ListedSession[] {
  return sessions.map((session) => ({
    ...session,
    sessionID: session.sessionId,
    sandboxID: session.sandboxId,
  }));
}

function toSession(remote: Remote): LiveSession {
  return {
    sessionId: remote.text('sessionId'),
    get offset() {
      return remote.number('offset') ?? -1;
    },
    done: remote.call('wait'),
    sendStdin: (data) => remote.call('sendStdin', { data }),
    closeStdin: () => remote.call('closeStdin'),
    kill: (signal) => remote.call('kill', { signal }),
    close: () => void remote.call('close'),
  };
}

function toShell(remote: Remote): LiveShell {
  return {
    sessionId: remote.text('sessionId'),
    run: (command, options = {}) => remote.call('run', { command }, { ...options }),
    close: () => remote.call('close'),
  };
}

function toTerminal(remote: Remote): LiveTerminal {
  return {
    sessionId: remote.text('sessionId'),
    get done() {
      return remote.call<number>('wait');
    },
    send: (data) => remote.call('send', { data }),
    resize: (size) => remote.call('resize', size),
    kill: () => remote.call('kill'),
    close: () => void remote.call('close'),
  };
}

function toAgent(remote: Remote): LiveAgent {
  return {
    sessionId: remote.text('sessionId'),
    done: remote.call('wait'),
    sendPrompt: (text) => remote.call('sendPrompt', { text }),
    interrupt: () => remote.call('interrupt'),
    configure: (config) => remote.call('configure', config),
    kill: (signal) => remote.call('kill', { signal }),
    close: () => void remote.call('close'),
  };
}

/** A sandbox of a Python client under the names that scenarios use. */
export function toSandbox(process: PythonProcess, held: Held): SandboxHandle {
  return sandboxOver(new Remote(process, held));
}

function sandboxOver(remote: Remote): SandboxHandle {
  const session = async (call: string, args: object, options: AttachOptions): Promise<LiveSession> => {
    const [given, callbacks] = split(options);
    return toSession(await remote.open(call, { ...args, ...given }, callbacks));
  };
  const agent = async (call: string, args: object, options: AgentListeners): Promise<LiveAgent> => {
    const [given, callbacks] = split(options);
    return toAgent(await remote.open(call, { ...args, ...given }, callbacks));
  };
  const terminal = async (call: string, args: object, options: object): Promise<LiveTerminal> => {
    const [given, callbacks] = split(options);
    return toTerminal(await remote.open(call, { ...args, ...given }, callbacks));
  };
  return {
    sandboxId: remote.text('sandboxId'),
    get status() {
      return remote.text('status');
    },
    get domain() {
      return remote.text('domain');
    },
    isRunning: () => remote.call('isRunning'),
    setTimeout: (timeout) => remote.call('setTimeout', { timeout }),
    kill: () => remote.call('kill'),
    hibernate: () => remote.call('hibernate'),
    wake: (options = {}) => remote.call('wake', { ...options }),
    reboot: () => remote.call('reboot'),
    powerCycle: () => remote.call('powerCycle'),
    createCheckpoint: (name, options = {}) => remote.call('createCheckpoint', { name, ...options }),
    listCheckpoints: () => remote.call('listCheckpoints'),
    restoreCheckpoint: (checkpointId) => remote.call('restoreCheckpoint', { checkpointId }),
    deleteCheckpoint: (checkpointId) => remote.call('deleteCheckpoint', { checkpointId }),
    fork: async (options = {}) => (await remote.openAll('fork', { ...options })).map(sandboxOver),
    async *events() {
      for (const event of await remote.call<SandboxEvent[]>('events'))
        yield { ...event, time: new Date(event.time) };
    },
    downloadUrl: (path, options = {}) => remote.call('downloadUrl', { path, ...options }),
    uploadUrl: (path, options = {}) => remote.call('uploadUrl', { path, ...options }),
    exec: {
      run: (command, options = {}) => remote.call('exec.run', { command, ...options }),
      start: (command, options = {}) => session('exec.start', { command }, options),
      background: (command, options = {}) => session('exec.background', { command }, options),
      attach: (sessionId, options = {}) => session('exec.attach', { sessionId }, options),
      list: async () => toListed(await remote.call('exec.list')),
      kill: (sessionId, signal) => remote.call('exec.kill', { sessionId, signal }),
      shell: async (options = {}) => toShell(await remote.open('exec.shell', { ...options }, {})),
      reattachShell: async (sessionId) => toShell(await remote.open('exec.reattachShell', { sessionId }, {})),
    },
    pty: {
      create: (options = {}) => terminal('pty.create', {}, options),
      attach: (sessionId, options = {}) => terminal('pty.attach', { sessionId }, options),
      list: async () => toListed(await remote.call('pty.list')),
    },
    agent: {
      start: (options = {}) => agent('agent.start', {}, options),
      attach: (sessionId, options = {}) => agent('agent.attach', { sessionId }, options),
      list: async () => toListed(await remote.call('agent.list')),
    },
    files: {
      read: (path) => remote.call('files.read', { path }),
      readBytes: (path) => remote.call('files.readBytes', { path }),
      async write(path, content) {
        const sent = content instanceof ReadableStream ? await remote.toStream(content) : content;
        await remote.call('files.write', { path, content: sent });
      },
      list: (path) => remote.call('files.list', { path }),
      makeDir: (path) => remote.call('files.makeDir', { path }),
      remove: (path) => remote.call('files.remove', { path }),
      exists: (path) => remote.call('files.exists', { path }),
    },
  };
}

interface SandboxEvent {
  time: string;
  actor: string;
  kind: string;
  reason: string | undefined;
}
