package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/wire"
)

func TestExecOutputAndExitCodes(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	got := h.shell(`printf 'a\377b'; printf 'c\376' >&2; exit 7`)
	got.wantExit(t, 7)
	if string(got.Stdout) != "a\xffb" || string(got.Stderr) != "c\xfe" || got.Truncated || got.TimedOut {
		t.Errorf("result %+v", got)
	}
	if _, err := time.Parse(time.RFC3339Nano, got.StartedAt); err != nil {
		t.Error(err)
	}
	killed := h.shell("kill -9 $$")
	killed.wantExit(t, 137)
	if killed.Signal != 9 {
		t.Errorf("signal %d", killed.Signal)
	}
	if got := h.exec(map[string]any{"argv": []string{"cat"}}); got.Running || *got.ExitCode != 0 {
		t.Errorf("standard input is not empty: %+v", got)
	}
}

func TestExecRunsAsTheUser(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	if out := strings.TrimSpace(string(h.shell("id -u; id -g; echo $USER $LOGNAME").Stdout)); out != "1000\n1000\nsandbox sandbox" {
		t.Errorf("sandbox is %q", out)
	}
	got := h.exec(map[string]any{"argv": []string{"sh", "-c", "id -u; echo $USER $HOME; pwd"}, "user": "root"})
	if out := string(got.Stdout); out != "0\nroot /root\n/root\n" {
		t.Errorf("root is %q", out)
	}
}

func TestExecStartErrors(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	directory := openDir(t)
	writeTestFile(t, directory+"/plain", "text")
	writeTestFile(t, directory+"/noshebang", "\x00\x01binary")
	os.Chmod(directory+"/noshebang", 0o755)
	writeTestFile(t, directory+"/lost", "#!/no/such/interpreter\n")
	os.Chmod(directory+"/lost", 0o755)
	writeTestFile(t, directory+"/private", "#!/bin/sh\n")
	os.Chmod(directory+"/private", 0o700)
	closed := filepath.Join(directory, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		argv []string
		cwd  string
		want string
	}{
		{[]string{"no-such-thing"}, "", "executable not found: no-such-thing"},
		{[]string{"./no-such-thing"}, "", "executable not found: ./no-such-thing"},
		{[]string{"echo hi"}, "", "executable not found: echo hi"},
		{[]string{"true"}, "/no/such", "working directory does not exist: /no/such"},
		{[]string{"true"}, "/etc/passwd", "working directory is not a directory: /etc/passwd"},
		{[]string{"true"}, closed, "may not enter the working directory " + closed},
		{[]string{"./plain"}, directory, "not executable: " + directory + "/plain has no execute permission"},
		{[]string{"./noshebang"}, directory, "not executable: " + directory + "/noshebang"},
		{[]string{"./lost"}, directory, "the interpreter that " + directory + "/lost names does not exist"},
		{[]string{"./private"}, directory, "may not execute " + directory + "/private"},
		{[]string{directory}, "", "is a directory"},
		{[]string{"true", strings.Repeat("x", 200<<10)}, "", "too long"},
	} {
		message := h.refused(422, "start_failed", "POST", "/v1/exec", map[string]any{"argv": test.argv, "cwd": test.cwd, "id": "0123abcd"})
		if !strings.Contains(message, test.want) {
			t.Errorf("%.50q in %q: %q, want %q", test.argv, test.cwd, message, test.want)
		}
	}
	// Commands that never started leave nothing behind, not even their id.
	h.exec(map[string]any{"argv": []string{"true"}, "id": "0123abcd"}).wantExit(t, 0)
}

func TestExecRequestRefusals(t *testing.T) {
	h := newReadyHost(t)
	for _, body := range []string{
		`{}`, `{"argv":[]}`, `{"argv":[""]}`, `{"argv":["a\u0000b"]}`, `{"argv":"ls"}`, `{"argv":["x"],"id":"XYZ"}`,
		`{"argv":["x"],"user":"bob"}`, `{"argv":["x"],"timeoutMs":-1}`, `{"argv":["x"],"waitMs":-1}`,
		`{"argv":["x"],"env":{"":"v"}}`, `{"argv":["x"],"bufferBytes":-1}`, `{"argv":["x"]} trailing`,
	} {
		h.refused(400, "invalid_request", "POST", "/v1/exec", body)
	}
	h.refused(400, "invalid_path", "POST", "/v1/exec", `{"argv":["x"],"cwd":"relative"}`)
	big := strings.Repeat("x", account.MaxArguments)
	h.refused(413, "too_large", "POST", "/v1/exec", map[string]any{"argv": []string{"echo", big}})
	h.refused(413, "too_large", "POST", "/v1/exec", strings.Repeat(" ", wire.MaxJSONBody+1))
	h.refused(404, "not_found", "GET", "/v1/exec/00000000", nil)
	h.refused(404, "not_found", "POST", "/v1/exec/00000000/signal", `{"signal":9}`)
	h.refused(404, "unknown_call", "POST", "/v1/exec/00000000/other", nil)
	h.refused(405, "method_not_allowed", "DELETE", "/v1/exec", nil)
}

func TestExecEnvPrecedence(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	h.want(200, "POST", "/v1/handshake", `{"protocol":1,"epoch":"e","identity":{"env":{"LANG":"sandbox","ONE":"sandbox","TWO":"sandbox"}}}`)
	got := h.exec(map[string]any{"argv": []string{"sh", "-c", "echo $PATH; echo $LANG $ONE $TWO"}, "env": map[string]string{"TWO": "request"}})
	if want := account.BasePath + "\nsandbox sandbox request\n"; string(got.Stdout) != want {
		t.Errorf("environment %q, want %q", got.Stdout, want)
	}
	directory := openDir(t)
	writeTestFile(t, directory+"/mine", "#!/bin/sh\necho found\n")
	os.Chmod(directory+"/mine", 0o755)
	got = h.exec(map[string]any{"argv": []string{"mine"}, "env": map[string]string{"PATH": directory + ":/bin"}})
	if string(got.Stdout) != "found\n" {
		t.Errorf("not found in the command's own PATH: %+v", got)
	}
}

func TestExecTimeoutKillsOnlyThatCommand(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	other := h.exec(map[string]any{"argv": []string{"sleep", "60"}, "waitMs": 0})
	begin := time.Now()
	// setsid: a process group alone would not reach this child.
	got := h.exec(map[string]any{"argv": []string{"sh", "-c", "setsid sleep 61 & echo $!; sleep 60"}, "timeoutMs": 200})
	got.wantExit(t, -1)
	if !got.TimedOut || time.Since(begin) > 3*time.Second {
		t.Fatalf("result %+v after %s", got, time.Since(begin))
	}
	if strings.Contains(string(h.shell("cat /proc/self/cgroup").Stdout), "/sessions/exec-") {
		pid, err := strconv.Atoi(strings.TrimSpace(string(got.Stdout)))
		if err != nil {
			t.Fatal(err)
		}
		if !waitUntil(func() bool { return isDead(pid) }) {
			t.Error("a child of the command outlived its timeout")
		}
	}
	still := decode[result](t, h.want(200, "GET", "/v1/exec/"+other.ID, nil).body)
	if !still.Running || still.ExitCode != nil {
		t.Errorf("the other command: %+v", still)
	}
}

func TestExecBackgroundChildDoesNotHoldTheResult(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	begin := time.Now()
	got := h.shell("(sleep 0.6; echo later) & echo $!; echo now")
	got.wantExit(t, 0)
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("the result took %s", took)
	}
	pid := strings.Fields(string(got.Stdout))[0]
	if syscall.Kill(atoi(t, pid), 0) != nil {
		t.Error("the child did not survive")
	}
	if !waitUntil(func() bool {
		again := decode[result](t, h.want(200, "GET", "/v1/exec/"+got.ID, nil).body)
		return strings.HasSuffix(string(again.Stdout), "now\nlater\n")
	}) {
		t.Error("what the child printed later is lost")
	}
}

func TestExecOutputBeforeExitIsNeverLost(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	for range 20 {
		got := h.shell("head -c 60000 /dev/zero; echo $$ >&2; sleep 5 & exit 3")
		got.wantExit(t, 3)
		if len(got.Stdout) != 60000 {
			t.Fatalf("%d bytes of 60000", len(got.Stdout))
		}
		syscall.Kill(-atoi(t, strings.TrimSpace(string(got.Stderr))), syscall.SIGKILL)
	}
}

func TestExecMuchOutputIsBounded(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	got := h.exec(map[string]any{"argv": []string{"sh", "-c", "head -c 2000000000 /dev/zero; echo end"}, "bufferBytes": 65536})
	got.wantExit(t, 0)
	if !got.Truncated || len(got.Stdout) != 65536 || !strings.HasSuffix(string(got.Stdout), "\x00end\n") {
		t.Errorf("truncated %v, %d bytes kept", got.Truncated, len(got.Stdout))
	}
	huge := h.exec(map[string]any{"argv": []string{"sh", "-c", "head -c 20000000 /dev/zero; head -c 1000 /dev/zero >&2"}, "bufferBytes": 1 << 30})
	most := min(16<<20, int(linux.MemoryTotal()/16))
	if size := len(huge.Stdout) + len(huge.Stderr); size != most || !huge.Truncated {
		t.Errorf("%d bytes kept, want %d", size, most)
	}
}

func TestExecWait(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	started := h.exec(map[string]any{"argv": []string{"sh", "-c", "echo out; sleep 0.4; exit 5"}, "waitMs": 0, "id": "0123abcd"})
	if !started.Running || started.ID != "0123abcd" {
		t.Fatalf("started %+v", started)
	}
	h.refused(409, "already_exists", "POST", "/v1/exec", `{"argv":["true"],"id":"0123abcd"}`)
	partial := decode[result](t, h.want(200, "GET", "/v1/exec/0123abcd?waitMs=100", nil).body)
	if !partial.Running || string(partial.Stdout) != "out\n" {
		t.Errorf("after 100 ms: %+v", partial)
	}
	// The command outlives the connection that began it.
	h.reconnect()
	h.want(200, "POST", "/v1/handshake", `{"protocol":1,"epoch":"next"}`)
	ended := decode[result](t, h.want(200, "GET", "/v1/exec/0123abcd?waitMs=5000", nil).body)
	ended.wantExit(t, 5)
	if ended.DurationMs < 300 || ended.DurationMs > 3000 {
		t.Errorf("duration %d ms", ended.DurationMs)
	}
	h.refused(409, "ended", "POST", "/v1/exec/0123abcd/signal", `{"signal":15}`)
	h.refused(400, "invalid_request", "GET", "/v1/exec/0123abcd?waitMs=x", nil)
}

func TestExecSignalReachesTheGroup(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	started := h.exec(map[string]any{"argv": []string{"sh", "-c", "trap 'exit 42' TERM; sleep 60 & wait"}, "waitMs": 200})
	h.refused(400, "invalid_request", "POST", "/v1/exec/"+started.ID+"/signal", `{"signal":0}`)
	h.refused(400, "invalid_request", "POST", "/v1/exec/"+started.ID+"/signal", `{"signal":65}`)
	h.want(200, "POST", "/v1/exec/"+started.ID+"/signal", `{"signal":15}`)
	decode[result](t, h.want(200, "GET", "/v1/exec/"+started.ID+"?waitMs=5000", nil).body).wantExit(t, 42)
}

func TestExecList(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	h.exec(map[string]any{"argv": []string{"echo", "caf\u00e9\n"}})
	h.exec(map[string]any{"argv": []string{"sleep", "60"}, "waitMs": 0})
	list := decode[struct {
		Sessions []struct {
			ID      string
			Argv    []string
			Running bool
			Stdout  *string
		}
	}](t, h.want(200, "GET", "/v1/exec", nil).body).Sessions
	if len(list) != 2 || list[0].Running || !list[1].Running || list[0].Argv[1] != "caf\u00e9\n" || list[0].Stdout != nil {
		t.Errorf("list %+v", list)
	}
}

func waitUntil(condition func() bool) bool {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}

// isDead tells whether a process is gone or only waits to be reaped.
func isDead(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(text), ") Z")
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	number, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return number
}
