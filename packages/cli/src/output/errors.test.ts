import {
  AuthenticationError,
  CapacityError,
  ConflictError,
  ConnectionError,
  SandboxNotFoundError,
  ServerError,
} from '@opencomputer/sdk';
import { expect, test } from 'vitest';
import { LocalError, reportOf } from './errors.ts';

const local = 'http://127.0.0.1:8080';

function refused(code: string): ConnectionError {
  const details = { systemCode: code };
  return new ConnectionError('cannot connect', { code: 'connection_failed', requestSent: false, details });
}

test('a platform that does not run is said to be started by oc up, where that can help', () => {
  expect(reportOf(refused('ECONNREFUSED'), local)).toMatchObject({
    message: `the platform does not run at ${local}`,
    hint: expect.stringContaining('oc up') as string,
    exitCode: 1,
  });
  expect(reportOf(refused('ECONNREFUSED'), 'http://far.example').hint).not.toContain('oc up');
  expect(reportOf(refused('ENOTFOUND'), local).hint).toContain('oc config show');
});

test.each([
  [new AuthenticationError('no', { code: 'unauthorized', status: 401 }), 3, 'oc config set api-key'],
  [new SandboxNotFoundError('no', { code: 'sandbox_not_found', status: 404 }), 3, 'oc ls'],
  [new ConflictError('no', { code: 'conflict', status: 409, hint: 'Wait' }), 4, 'Wait'],
  [new CapacityError('no', { code: 'no_capacity', status: 503, hint: 'Later' }), 5, 'Later'],
  [new ServerError('no', { code: 'internal', status: 500 }), 5, ''],
  [new LocalError('no', { hint: 'Do' }), 1, 'Do'],
])('%o', (error, exitCode, hint) => {
  const report = reportOf(error, local);
  expect(report).toMatchObject({ message: 'no', exitCode });
  expect(report.hint).toContain(hint);
});

test('the words of the client library about its own options are left out', () => {
  const error = new ConflictError('it broke', {
    code: 'x',
    status: 409,
    hint: 'Set apiUrl',
    requestId: 'r1',
  });
  expect(error.message).toBe('it broke. Set apiUrl [HTTP 409, request r1]');
  expect(reportOf(error, local)).toMatchObject({ message: 'it broke', requestId: 'r1' });
});

test('an error of ours is shown with where it came from', () => {
  expect(reportOf(new RangeError('oops'), local).message).toContain('errors.test.ts');
});
