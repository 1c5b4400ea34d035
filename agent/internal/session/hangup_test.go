package session_test

import (
	"os"
	"path/filepath"
	"testing"

	"opencomputer.dev/agent/internal/agenttest"
)

// A process that ignores the shell's hang-up would keep the terminal open.
func TestTerminalHangsUpOnWhatIsLeft(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	mark := filepath.Join(agenttest.OpenDir(t), "hung-up")
	result := h.Exec(map[string]any{
		"argv": []string{"bash", "-c", "trap '' HUP; (while printf x; do sleep 0.05; done 2>/dev/null; touch \"$MARK\") & exit 3"},
		"env":  map[string]string{"MARK": mark}, "tty": map[string]int{"cols": 80, "rows": 24},
	})
	result.WantExit(t, 3)
	if !agenttest.WaitUntil(func() bool { _, err := os.Stat(mark); return err == nil }) {
		t.Fatal("what the shell has left behind still writes to the terminal")
	}
}
