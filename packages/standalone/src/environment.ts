import { settingNames } from '@opencomputer/process/configuration';
import { programPath } from '@opencomputer/worker/programs';

/** The operator's variables that both parts get besides their own settings. */
const common = [
  ...['LANG', 'LC_ALL', 'LC_CTYPE', 'TZ', 'NO_COLOR'],
  ...['NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS', 'NODE_V8_COVERAGE', 'NODE_COMPILE_CACHE', 'UV_THREADPOOL_SIZE'],
  ...['SSL_CERT_FILE', 'SSL_CERT_DIR'],
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY'],
  ...['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy'],
];

/**
 * The environment of a part: its own settings, and little else of the operator's. Keys of other programs and
 * directories of other users must not reach a process that runs as root or takes requests from strangers.
 */
export function environmentOf(
  part: 'server' | 'worker',
  environment: NodeJS.ProcessEnv,
  given: Readonly<Record<string, string>>,
): NodeJS.ProcessEnv {
  const names = [...common, ...settingNames(part)];
  const taken = names.flatMap((name) => {
    const value = environment[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(taken), ...given, PATH: programPath };
}
