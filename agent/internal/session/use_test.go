package session_test

import (
	"fmt"
	"syscall"
	"testing"

	"opencomputer.dev/agent/internal/agenttest"
)

type use struct {
	Sessions []struct{ ID, Kind, Command string }
	Count    int
	IdleMs   *int64
}

func useOf(t *testing.T, h *agenttest.Host) use {
	t.Helper()
	return agenttest.Decode[use](t, h.Want(200, "GET", "/v1/use", nil).Body)
}

func wantUse(t *testing.T, h *agenttest.Host, what string, count int) {
	t.Helper()
	if !agenttest.WaitUntil(func() bool { return useOf(t, h).Count == count }) {
		t.Fatalf("%s: in use are %+v, want %d", what, useOf(t, h), count)
	}
}

func TestCommandsAreUseUntilTheyEnd(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	if got := useOf(t, h); got.Count != 0 || got.IdleMs != nil {
		t.Fatalf("at first %+v", got)
	}
	id := h.Exec(map[string]any{"argv": []string{"sleep", "1000"}, "user": "root", "waitMs": 0}).ID
	got := useOf(t, h)
	if got.Count != 1 || got.Sessions[0].ID != id || got.Sessions[0].Command != "sleep 1000" || got.Sessions[0].Kind != "run" {
		t.Fatalf("a command that runs: %+v", got)
	}
	h.Want(200, "POST", "/v1/exec/"+id+"/signal", map[string]int{"signal": 9})
	wantUse(t, h, "after its end", 0)
	if got := useOf(t, h); got.IdleMs == nil || *got.IdleMs > 30_000 {
		t.Fatalf("the end is not told: %+v", got)
	}
}

func TestWhatASessionLeavesBehindIsNoUse(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	h.Exec(map[string]any{"argv": []string{"sh", "-c", "sleep 1000 & setsid sleep 1000 &"}, "user": "root"}).WantExit(t, 0)
	wantUse(t, h, "jobs in the background", 0)
}

func TestASessionCanAskNotToBeUse(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	h.Exec(map[string]any{"argv": []string{"sleep", "1000"}, "user": "root", "waitMs": 0, "keepAwake": false})
	if got := useOf(t, h); got.Count != 0 || got.IdleMs != nil {
		t.Fatalf("in use: %+v", got)
	}
}

func TestAShellIsUseWhileItsCommandRuns(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	for _, argv := range [][]string{{"bash", "--noprofile", "--norc", "+m"}, {"sh"}} {
		id := h.Exec(map[string]any{
			"argv": argv, "user": "root", "kind": "session", "stdin": true, "waitMs": 0,
		}).ID
		a := h.Attach(id, "")
		wantUse(t, h, "at its prompt", 0)
		a.Write("sleep 1000 & sh -c 'echo pid $$.; exec sleep 1000'\n")
		var pid int
		a.Until("its pid", func() bool {
			_, err := fmt.Sscanf(a.Out.String(), "pid %d.", &pid)
			return err == nil
		})
		wantUse(t, h, "a command that prints nothing", 1)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		wantUse(t, h, "a job in the background", 0)
		a.Write("while :; do :; done\n")
		wantUse(t, h, "a shell that works itself", 1)
		h.Want(200, "POST", "/v1/exec/"+id+"/signal", map[string]int{"signal": 9})
		wantUse(t, h, "after its end", 0)
	}
	script := h.Exec(map[string]any{
		"argv": []string{"sh", "-c", "read line"}, "user": "root", "kind": "session", "stdin": true, "waitMs": 0,
	}).ID
	wantUse(t, h, "a command that reads", 1)
	h.Want(200, "POST", "/v1/exec/"+script+"/signal", map[string]int{"signal": 9})
}

func TestATerminalIsUseWhileAJobIsInItsForeground(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	_, a := terminal(h, "bash", "--norc", "--noprofile")
	wantUse(t, h, "at its prompt", 0)
	a.Write("sleep 1000\n")
	wantUse(t, h, "a job in the foreground", 1)
	a.Write("\x03")
	wantUse(t, h, "after Ctrl-C", 0)
	before := useOf(t, h)
	if before.IdleMs == nil || *before.IdleMs > 30_000 {
		t.Fatalf("what was typed is not told: %+v", before)
	}
	a.Write("sleep 1000 &\n")
	wantUse(t, h, "a job in the background", 0)
	a.Write("exit\nexit\n")
	a.UntilExit()
}

func TestAnAgentIsUseDuringATurn(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Exec(map[string]any{
		"argv": []string{"cat"}, "user": "root", "kind": "agent", "stdin": true, "waitMs": 0,
	}).ID
	a := h.Attach(id, "")
	wantUse(t, h, "before the first prompt", 0)
	for _, step := range []struct {
		line string
		want int
	}{
		{`{"type":"configured"}`, 0},
		{`{"type":"prompt","text":"go"}`, 1},
		{`{"type":"assistant","message":{"type":"error"}}`, 1},
		{`{"message":{"type":"x","a":[1,{}]},"type":"turn_complete"}`, 0},
		{`{"type":"system"}`, 1},
		{`no json`, 1},
		{`{"type":"interrupted"}`, 0},
	} {
		a.Write(step.line[:5])
		a.Write(step.line[5:] + "\n")
		wantUse(t, h, step.line, step.want)
	}
}

func TestIdleTimeGrows(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	h.Exec(map[string]any{"argv": []string{"true"}, "user": "root"}).WantExit(t, 0)
	// The result is there shortly before the end is recorded.
	wantUse(t, h, "after its end", 0)
	first := *useOf(t, h).IdleMs
	if !agenttest.WaitUntil(func() bool { return *useOf(t, h).IdleMs > first+20 }) {
		t.Fatalf("still idle for %d ms", first)
	}
}
