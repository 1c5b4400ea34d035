package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A process that ignores the shell's hang-up would keep the terminal open.
func TestTerminalHangsUpOnWhatIsLeft(t *testing.T) {
	h := newReadyHost(t)
	mark := filepath.Join(openDir(t), "hung-up")
	result := h.exec(map[string]any{
		"argv": []string{"bash", "-c", "trap '' HUP; (while printf x; do sleep 0.05; done 2>/dev/null; touch \"$MARK\") & exit 3"},
		"env":  map[string]string{"MARK": mark}, "tty": map[string]int{"cols": 80, "rows": 24},
	})
	result.wantExit(t, 3)
	if !waitUntil(func() bool { _, err := os.Stat(mark); return err == nil }) {
		t.Fatal("what the shell has left behind still writes to the terminal")
	}
}
