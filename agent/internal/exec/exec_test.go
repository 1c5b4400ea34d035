package exec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/agenttest"
	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/wire"
)

func TestExecOutputAndExitCodes(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	got := h.Shell(`printf 'a\377b'; printf 'c\376' >&2; exit 7`)
	got.WantExit(t, 7)
	if string(got.Stdout) != "a\xffb" || string(got.Stderr) != "c\xfe" || got.Truncated || got.TimedOut {
		t.Errorf("result %+v", got)
	}
	if _, err := time.Parse(time.RFC3339Nano, got.StartedAt); err != nil {
		t.Error(err)
	}
	killed := h.Shell("kill -9 $$")
	killed.WantExit(t, 137)
	if killed.Signal != 9 {
		t.Errorf("signal %d", killed.Signal)
	}
	if got := h.Exec(map[string]any{"argv": []string{"cat"}}); got.Running || *got.ExitCode != 0 {
		t.Errorf("standard input is not empty: %+v", got)
	}
}

func TestExecRunsAsTheUser(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	if out := strings.TrimSpace(string(h.Shell("id -u; id -g; echo $USER $LOGNAME").Stdout)); out != "1000\n1000\nsandbox sandbox" {
		t.Errorf("sandbox is %q", out)
	}
	got := h.Exec(map[string]any{"argv": []string{"sh", "-c", "id -u; echo $USER $HOME; pwd"}, "user": "root"})
	if out := string(got.Stdout); out != "0\nroot /root\n/root\n" {
		t.Errorf("root is %q", out)
	}
}

func TestExecStartErrors(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	directory := agenttest.OpenDir(t)
	agenttest.WriteFile(t, directory+"/plain", "text")
	agenttest.WriteFile(t, directory+"/noshebang", "\x00\x01binary")
	os.Chmod(directory+"/noshebang", 0o755)
	agenttest.WriteFile(t, directory+"/lost", "#!/no/such/interpreter\n")
	os.Chmod(directory+"/lost", 0o755)
	agenttest.WriteFile(t, directory+"/private", "#!/bin/sh\n")
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
		{[]string{"true", "", strings.Repeat("x", 128<<10)}, "", "argument 2 has 131072 bytes: Linux takes at most 131071 in one"},
		{append([]string{"true"}, slices.Repeat([]string{"x"}, 250_000)...), "", "too long: 250"},
	} {
		message := h.Refused(422, "start_failed", "POST", "/v1/exec", map[string]any{"argv": test.argv, "cwd": test.cwd, "id": "0123abcd"})
		if !strings.Contains(message, test.want) {
			t.Errorf("%.50q in %q: %q, want %q", test.argv, test.cwd, message, test.want)
		}
	}
	// Commands that never started leave nothing behind, not even their id.
	h.Exec(map[string]any{"argv": []string{"true"}, "id": "0123abcd"}).WantExit(t, 0)
}

func TestExecRequestRefusals(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	for _, body := range []string{
		`{}`, `{"argv":[]}`, `{"argv":[""]}`, `{"argv":["a\u0000b"]}`, `{"argv":"ls"}`, `{"argv":["x"],"id":"XYZ"}`,
		`{"argv":["x"],"user":"bob"}`, `{"argv":["x"],"timeoutMs":-1}`, `{"argv":["x"],"waitMs":-1}`,
		`{"argv":["x"],"env":{"":"v"}}`, `{"argv":["x"],"bufferBytes":-1}`, `{"argv":["x"]} trailing`,
	} {
		h.Refused(400, "invalid_request", "POST", "/v1/exec", body)
	}
	h.Refused(400, "invalid_path", "POST", "/v1/exec", `{"argv":["x"],"cwd":"relative"}`)
	big := strings.Repeat("x", account.MaxArguments)
	h.Refused(413, "too_large", "POST", "/v1/exec", map[string]any{"argv": []string{"echo", big}})
	h.Refused(413, "too_large", "POST", "/v1/exec", strings.Repeat(" ", wire.MaxJSONBody+1))
	h.Refused(404, "not_found", "GET", "/v1/exec/00000000", nil)
	h.Refused(404, "not_found", "POST", "/v1/exec/00000000/signal", `{"signal":9}`)
	h.Refused(404, "unknown_call", "POST", "/v1/exec/00000000/other", nil)
	h.Refused(405, "method_not_allowed", "DELETE", "/v1/exec", nil)
}

func TestExecEnvPrecedence(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewHost(t)
	h.Want(200, "POST", "/v1/handshake", `{"protocol":1,"epoch":"e","identity":{"env":{"LANG":"sandbox","ONE":"sandbox","TWO":"sandbox"}}}`)
	got := h.Exec(map[string]any{"argv": []string{"sh", "-c", "echo $PATH; echo $LANG $ONE $TWO"}, "env": map[string]string{"TWO": "request"}})
	if want := "/home/sandbox/.local/bin:" + account.BasePath + "\nsandbox sandbox request\n"; string(got.Stdout) != want {
		t.Errorf("environment %q, want %q", got.Stdout, want)
	}
	directory := agenttest.OpenDir(t)
	agenttest.WriteFile(t, directory+"/mine", "#!/bin/sh\necho found\n")
	os.Chmod(directory+"/mine", 0o755)
	got = h.Exec(map[string]any{"argv": []string{"mine"}, "env": map[string]string{"PATH": directory + ":/bin"}})
	if string(got.Stdout) != "found\n" {
		t.Errorf("not found in the command's own PATH: %+v", got)
	}
}

func TestExecMayHaveAsManyArgumentsAsLinuxTakes(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	long := strings.Repeat("\x01", 128<<10-1)
	got := h.Exec(map[string]any{"argv": append([]string{"sh", "-c", `printf %s "$*" | wc -c`, "sh"}, slices.Repeat([]string{long}, 15)...)})
	if want := strconv.Itoa(15*len(long)+14) + "\n"; string(got.Stdout) != want {
		t.Errorf("15 arguments of %d bytes are %q, want %q", len(long), got.Stdout, want)
	}
	got = h.Exec(map[string]any{"argv": append([]string{"sh", "-c", "echo $#", "sh"}, slices.Repeat([]string{"x"}, 150_000)...)})
	if string(got.Stdout) != "150000\n" {
		t.Errorf("150000 arguments are %q: %s", got.Stdout, got.Stderr)
	}
}

func TestExecKeepsThePathOfItsDirectory(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	directory := agenttest.OpenDir(t)
	link := directory + "/link"
	if err := os.Symlink("/usr/share", link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ cwd, shown string }{
		{link, link},
		{link + "//doc/", link + "/doc"},
		{"/usr/share", "/usr/share"},
		// After the link, .. is the parent of where it leads.
		{link + "/..", "/usr"},
	} {
		for _, shell := range []string{"sh", "bash"} {
			got := h.Exec(map[string]any{"argv": []string{shell, "-c", "pwd"}, "cwd": test.cwd, "env": map[string]string{"PWD": "/etc"}})
			if string(got.Stdout) != test.shown+"\n" {
				t.Errorf("%s in %s is in %q, want %q", shell, test.cwd, got.Stdout, test.shown)
			}
		}
	}
}

func TestExecTimeoutKillsOnlyThatCommand(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	other := h.Exec(map[string]any{"argv": []string{"sleep", "60"}, "waitMs": 0})
	// setsid: a process group alone would not reach this child.
	got := h.Exec(map[string]any{"argv": []string{"sh", "-c", "setsid sleep infinity & echo $!; sleep infinity"}, "timeoutMs": 200})
	got.WantExit(t, -1)
	if !got.TimedOut {
		t.Fatalf("result %+v", got)
	}
	if strings.Contains(string(h.Shell("cat /proc/self/cgroup").Stdout), "/sessions/exec-") {
		pid, err := strconv.Atoi(strings.TrimSpace(string(got.Stdout)))
		if err != nil {
			t.Fatal(err)
		}
		if !agenttest.WaitUntil(func() bool { return isDead(pid) }) {
			t.Error("a child of the command outlived its timeout")
		}
	}
	still := agenttest.Decode[agenttest.Result](t, h.Want(200, "GET", "/v1/exec/"+other.ID, nil).Body)
	if !still.Running || still.ExitCode != nil {
		t.Errorf("the other command: %+v", still)
	}
}

func TestExecBackgroundChildDoesNotHoldTheResult(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	gate, open := agenttest.Gate(t)
	got := h.Shell("(read -r line < " + gate + "; echo later) & echo $!; echo now")
	got.WantExit(t, 0)
	pid := strings.Fields(string(got.Stdout))[0]
	if syscall.Kill(atoi(t, pid), 0) != nil {
		t.Error("the child did not survive")
	}
	open()
	if !agenttest.WaitUntil(func() bool {
		again := agenttest.Decode[agenttest.Result](t, h.Want(200, "GET", "/v1/exec/"+got.ID, nil).Body)
		return strings.HasSuffix(string(again.Stdout), "now\nlater\n")
	}) {
		t.Error("what the child printed later is lost")
	}
}

func TestExecOutputBeforeExitIsNeverLost(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	for range 20 {
		got := h.Shell("head -c 60000 /dev/zero; echo $$ >&2; sleep 5 & exit 3")
		got.WantExit(t, 3)
		if len(got.Stdout) != 60000 {
			t.Fatalf("%d bytes of 60000", len(got.Stdout))
		}
		syscall.Kill(-atoi(t, strings.TrimSpace(string(got.Stderr))), syscall.SIGKILL)
	}
}

func TestExecMuchOutputIsBounded(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	got := h.Exec(map[string]any{"argv": []string{"sh", "-c", "head -c 2000000000 /dev/zero; echo end"}, "bufferBytes": 65536})
	got.WantExit(t, 0)
	if !got.Truncated || len(got.Stdout) != 65536 || !strings.HasSuffix(string(got.Stdout), "\x00end\n") {
		t.Errorf("truncated %v, %d bytes kept", got.Truncated, len(got.Stdout))
	}
	huge := h.Exec(map[string]any{"argv": []string{"sh", "-c", "head -c 20000000 /dev/zero; head -c 1000 /dev/zero >&2"}, "bufferBytes": 1 << 30})
	most := min(16<<20, int(linux.MemoryTotal()/16))
	if size := len(huge.Stdout) + len(huge.Stderr); size != most || !huge.Truncated {
		t.Errorf("%d bytes kept, want %d", size, most)
	}
}

func TestExecWait(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	started := h.Exec(map[string]any{"argv": []string{"sh", "-c", "echo out; sleep 0.4; exit 5"}, "waitMs": 0, "id": "0123abcd"})
	if !started.Running || started.ID != "0123abcd" {
		t.Fatalf("started %+v", started)
	}
	h.Refused(409, "already_exists", "POST", "/v1/exec", `{"argv":["true"],"id":"0123abcd"}`)
	partial := agenttest.Decode[agenttest.Result](t, h.Want(200, "GET", "/v1/exec/0123abcd?waitMs=100", nil).Body)
	if !partial.Running || string(partial.Stdout) != "out\n" {
		t.Errorf("after 100 ms: %+v", partial)
	}
	// The command outlives the connection that began it.
	h.Reconnect()
	h.Want(200, "POST", "/v1/handshake", `{"protocol":1,"epoch":"next"}`)
	ended := agenttest.Decode[agenttest.Result](t, h.Want(200, "GET", "/v1/exec/0123abcd?waitMs=5000", nil).Body)
	ended.WantExit(t, 5)
	if ended.DurationMs < 300 || ended.DurationMs > 30_000 {
		t.Errorf("duration %d ms", ended.DurationMs)
	}
	h.Refused(409, "ended", "POST", "/v1/exec/0123abcd/signal", `{"signal":15}`)
	h.Refused(400, "invalid_request", "GET", "/v1/exec/0123abcd?waitMs=x", nil)
}

func TestExecSignalReachesTheGroup(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	started := h.Exec(map[string]any{"argv": []string{"sh", "-c", "trap 'exit 42' TERM; sleep 60 & wait"}, "waitMs": 200})
	h.Refused(400, "invalid_request", "POST", "/v1/exec/"+started.ID+"/signal", `{"signal":0}`)
	h.Refused(400, "invalid_request", "POST", "/v1/exec/"+started.ID+"/signal", `{"signal":65}`)
	h.Want(200, "POST", "/v1/exec/"+started.ID+"/signal", `{"signal":15}`)
	agenttest.Decode[agenttest.Result](t, h.Want(200, "GET", "/v1/exec/"+started.ID+"?waitMs=5000", nil).Body).WantExit(t, 42)
}

func TestExecList(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	h.Exec(map[string]any{"argv": []string{"echo", "caf\u00e9\n"}})
	h.Exec(map[string]any{"argv": []string{"sleep", "60"}, "waitMs": 0, "unlisted": true})
	list := agenttest.Decode[struct {
		Sessions []struct {
			ID       string
			Argv     []string
			Running  bool
			Stdout   *string
			Unlisted bool
		}
	}](t, h.Want(200, "GET", "/v1/exec", nil).Body).Sessions
	if len(list) != 2 || list[0].Running || !list[1].Running || list[0].Argv[1] != "caf\u00e9\n" || list[0].Stdout != nil ||
		list[0].Unlisted || !list[1].Unlisted {
		t.Errorf("list %+v", list)
	}
}

// More long scripts than fit in a list; all of them must be found.
func TestListOfManyLongCommands(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	script := "true\n" + strings.Repeat("# a\n", 4000)
	for range 520 {
		h.Exec(map[string]any{"argv": []string{"sh", "-c", script}, "bufferBytes": 4 << 10}).WantExit(t, 0)
	}
	body := h.Want(200, "GET", "/v1/exec", nil).Body
	list := agenttest.Decode[struct{ Sessions []struct{ ID string } }](t, body).Sessions
	if len(body) > 8<<20 || len(list) < 512 {
		t.Errorf("%d bytes, %d commands", len(body), len(list))
	}
}

// isDead reports whether a process is gone or only waits to be reaped.
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
