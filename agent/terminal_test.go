package main

import (
	"strconv"
	"strings"
	"testing"
)

func (h *host) terminal(argv ...string) (string, *attached) {
	h.t.Helper()
	id := h.exec(map[string]any{
		"argv": argv, "user": "root", "kind": "pty", "tty": map[string]int{"cols": 100, "rows": 30}, "waitMs": 0,
		"env": map[string]string{"PS1": "$ "},
	}).ID
	return id, h.attach(id, "")
}

func (a *attached) seen(text string) {
	a.t.Helper()
	a.until(text, func() bool { return strings.Contains(a.out.String(), text) })
}

func TestTerminal(t *testing.T) {
	h := newReadyHost(t)
	id, a := h.terminal("bash", "--norc", "--noprofile")
	a.write("stty size; tty; echo $TERM\n")
	a.seen("30 100")
	a.seen("/dev/pts/")
	a.seen("xterm-256color")
	h.want(200, "POST", "/v1/exec/"+id+"/resize", map[string]int{"cols": 120, "rows": 50})
	a.write("stty size\n")
	a.seen("50 120")
	a.write("sh -c \"echo sta''rted; exec sleep 1000\"\n")
	a.seen("started\r\n")
	a.write("\x03")
	a.write("echo after $?\n")
	a.seen("after 130")
	a.write("exit 5\n")
	if code := a.untilExit(); code != 5 {
		t.Fatalf("exit %d", code)
	}
	h.refused(409, "ended", "POST", "/v1/exec/"+id+"/resize", map[string]int{"cols": 80, "rows": 24})
}

func TestTerminalTellsProcessesOfItsSize(t *testing.T) {
	h := newReadyHost(t)
	id, a := h.terminal("bash", "-c", "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
	a.seen("ready")
	h.want(200, "POST", "/v1/exec/"+id+"/resize", map[string]int{"cols": 77, "rows": 33})
	a.seen("33 77")
}

func TestTerminalSizeIsBounded(t *testing.T) {
	h := newReadyHost(t)
	id, _ := h.terminal("cat")
	for _, size := range []map[string]int{{"cols": 0, "rows": 24}, {"cols": 80, "rows": -1}, {"cols": 1001, "rows": 1}, {"cols": 80}} {
		h.refused(400, "invalid_request", "POST", "/v1/exec/"+id+"/resize", size)
		h.refused(400, "invalid_request", "POST", "/v1/exec", map[string]any{"argv": []string{"cat"}, "tty": size})
	}
	pipes := h.start("cat", nil)
	h.refused(409, "not_terminal", "POST", "/v1/exec/"+pipes+"/resize", map[string]int{"cols": 80, "rows": 24})
}

func TestTerminalPassesEveryByte(t *testing.T) {
	h := newReadyHost(t)
	_, a := h.terminal("bash", "-c", "stty raw -echo; echo ready; head -c 256 | od -An -v -tu1 -w256")
	a.seen("ready")
	every := make([]byte, 256)
	want := ""
	for i := range every {
		every[i] = byte(i)
		want += " " + strings.Repeat(" ", 3-len(strconv.Itoa(i))) + strconv.Itoa(i)
	}
	a.send(inputFrame, every)
	a.untilExit()
	if !strings.Contains(a.out.String(), want) {
		t.Fatalf("got %q", a.out.String())
	}
}

func TestTerminalHangsUpWithItsShell(t *testing.T) {
	h := newReadyHost(t)
	_, a := h.terminal("bash", "--norc", "-i")
	a.write("sleep 1000 &\n")
	a.write("exit 0\n")
	a.untilExit()
}
