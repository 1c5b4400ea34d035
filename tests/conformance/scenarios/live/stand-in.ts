import type { SandboxHandle } from '../../clients/client.ts';

/** Speaks the lines of an agent, and stands in for its model: it repeats, waits, or falls silent, as it is told. */
const program = `#!/usr/bin/env python3
import json, os, sys, threading

def say(**event):
    print(json.dumps(event), flush=True)

config = {}
stop = threading.Event()
turn = None

def work(text):
    global turn
    if text == "wait":
        stop.wait()
    if stop.is_set():
        say(type="interrupted")
    else:
        if text.startswith("!"):
            text = os.popen(text[1:]).read()
        say(type="assistant", message={"role": "assistant", "content": [{"type": "text", "text": text}]})
        say(type="result", subtype="success", result=text, model=config.get("model"))
        say(type="turn_complete", claude_session_id="conversation-1")

print("[stand-in] begins", file=sys.stderr, flush=True)
say(type="ready")
for line in sys.stdin:
    command = json.loads(line)
    kind = command.pop("type")
    if kind == "configure":
        config.update(command)
        say(type="configured")
    elif kind == "prompt":
        if turn is not None:
            turn.join()
        stop.clear()
        turn = threading.Thread(target=work, args=(command["text"],), daemon=True)
        turn.start()
    elif kind == "interrupt":
        if turn is not None and turn.is_alive():
            stop.set()
        else:
            say(type="interrupted")
    else:
        say(type="error", message="unknown command type: " + kind)
`;

/** Puts the stand-in where the server looks for the agent. */
export async function installStandIn(sandbox: SandboxHandle): Promise<void> {
  const path = '/usr/local/bin/claude-agent-wrapper';
  await sandbox.exec.run(`sudo rm -f ${path}`);
  await sandbox.files.write(path, program);
  await sandbox.exec.run(`sudo chmod 755 ${path}`);
}
