package agenttest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// WriteFile makes a file.
func WriteFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// NeedRoot skips a test that only root can run.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

// OpenDir is a temporary directory that user sandbox can reach.
func OpenDir(t testing.TB) string {
	t.Helper()
	directory := t.TempDir()
	for path := directory; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// Gate makes a pipe at which a command waits: `read -r line < PATH` ends once open is called.
func Gate(t testing.TB) (path string, open func()) {
	t.Helper()
	path = filepath.Join(OpenDir(t), "gate")
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Fatal(err)
	}
	return path, func() {
		t.Helper()
		if err := os.WriteFile(path, []byte("\n"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// WaitUntil waits for a condition and returns whether it has become true.
func WaitUntil(condition func() bool) bool {
	// Real time: the pause between two looks.
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}
