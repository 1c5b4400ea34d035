package session_test

import (
	"strconv"
	"strings"
	"testing"

	"opencomputer.dev/agent/internal/agenttest"
)

func terminal(h *agenttest.Host, argv ...string) (string, *agenttest.Stream) {
	id := h.Exec(map[string]any{
		"argv": argv, "user": "root", "kind": "pty", "tty": map[string]int{"cols": 100, "rows": 30}, "waitMs": 0,
		"env": map[string]string{"PS1": "$ "},
	}).ID
	return id, h.Attach(id, "")
}

func seen(t *testing.T, a *agenttest.Stream, text string) {
	t.Helper()
	a.Until(text, func() bool { return strings.Contains(a.Out.String(), text) })
}

func TestTerminal(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id, a := terminal(h, "bash", "--norc", "--noprofile")
	a.Write("stty size; tty; echo $TERM\n")
	seen(t, a, "30 100")
	seen(t, a, "/dev/pts/")
	seen(t, a, "xterm-256color")
	h.Want(200, "POST", "/v1/exec/"+id+"/resize", map[string]int{"cols": 120, "rows": 50})
	a.Write("stty size\n")
	seen(t, a, "50 120")
	a.Write("sh -c \"echo sta''rted; exec sleep 1000\"\n")
	seen(t, a, "started\r\n")
	a.Write("\x03")
	a.Write("echo after $?\n")
	seen(t, a, "after 130")
	a.Write("exit 5\n")
	if code := a.UntilExit(); code != 5 {
		t.Fatalf("exit %d", code)
	}
	h.Refused(409, "ended", "POST", "/v1/exec/"+id+"/resize", map[string]int{"cols": 80, "rows": 24})
}

func TestTerminalTellsProcessesOfItsSize(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id, a := terminal(h, "bash", "-c", "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
	seen(t, a, "ready")
	h.Want(200, "POST", "/v1/exec/"+id+"/resize", map[string]int{"cols": 77, "rows": 33})
	seen(t, a, "33 77")
}

func TestTerminalSizeIsBounded(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id, _ := terminal(h, "cat")
	for _, size := range []map[string]int{{"cols": 0, "rows": 24}, {"cols": 80, "rows": -1}, {"cols": 1001, "rows": 1}, {"cols": 80}} {
		h.Refused(400, "invalid_request", "POST", "/v1/exec/"+id+"/resize", size)
		h.Refused(400, "invalid_request", "POST", "/v1/exec", map[string]any{"argv": []string{"cat"}, "tty": size})
	}
	pipes := h.Start("cat", nil)
	h.Refused(409, "not_terminal", "POST", "/v1/exec/"+pipes+"/resize", map[string]int{"cols": 80, "rows": 24})
}

func TestTerminalPassesEveryByte(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	_, a := terminal(h, "bash", "-c", "stty raw -echo; echo ready; head -c 256 | od -An -v -tu1 -w256")
	seen(t, a, "ready")
	every := make([]byte, 256)
	want := ""
	for i := range every {
		every[i] = byte(i)
		want += " " + strings.Repeat(" ", 3-len(strconv.Itoa(i))) + strconv.Itoa(i)
	}
	a.Send(agenttest.InputFrame, every)
	a.UntilExit()
	if !strings.Contains(a.Out.String(), want) {
		t.Fatalf("got %q", a.Out.String())
	}
}

func TestTerminalHangsUpWithItsShell(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	_, a := terminal(h, "bash", "--norc", "-i")
	a.Write("sleep 1000 &\n")
	a.Write("exit 0\n")
	a.UntilExit()
}
