import { Argument } from 'commander';

/** The argument that names a sandbox; completion recognises it by its name. */
export function sandboxArgument(name = '<sandbox>'): Argument {
  return new Argument(name, 'id of a sandbox, such as sb-0a1b2c3d');
}

/** The argument that names a checkpoint. */
export function checkpointArgument(): Argument {
  return new Argument('<checkpoint>', 'id of a checkpoint, a UUID');
}

/** The argument that names a session or a terminal. */
export function sessionArgument(): Argument {
  return new Argument('<session>', 'id of a session, such as 3f9a01bc');
}
