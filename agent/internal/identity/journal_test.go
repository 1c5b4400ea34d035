package identity

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestJournalsOfOriginsBecomeArchivedOnesOfThisMachine(t *testing.T) {
	root := t.TempDir()
	write := func(path string) {
		t.Helper()
		file := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(path), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{
		"own/system.journal", "origin/system.journal", "origin/user-1000.journal",
		"before/system.journal", "before/system@1-2.journal~", "before/system@1-2-3.journal", "id",
	} {
		write(path)
	}
	if err := os.WriteFile(filepath.Join(root, "id"), []byte("own\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := gatherJournals(root, filepath.Join(root, "id")); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"origin", "before"} {
		if _, err := os.Stat(filepath.Join(root, gone)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
	files, _ := filepath.Glob(filepath.Join(root, "own", "*"))
	contents := make(map[string]bool)
	// The files that the journal may delete to make room.
	archived := regexp.MustCompile(`^(system|user-1000)@([0-9a-f]{16}-[0-9a-f]{16}\.journal~|1-2\.journal~|1-2-3\.journal)$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		contents[string(text)] = true
		if name := filepath.Base(file); name != "system.journal" && !archived.MatchString(name) {
			t.Errorf("%s is not the name of an archived journal", name)
		}
	}
	if len(files) != 6 || len(contents) != 6 || !contents["own/system.journal"] {
		t.Errorf("the journals are %s", strings.Join(files, ", "))
	}
}

func TestJournalIsWokenOnceForWhatTheAgentSays(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "stdout")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var out bytes.Buffer
	writer := WakingJournal{Out: &out, Socket: socket}
	journalMayRest.Store(true)
	for _, text := range []string{"one\n", "two\n"} {
		if _, err := writer.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	// Connections wait in the listener's queue.
	for _, woken := range []bool{true, false} {
		if err := listener.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		connection, err := listener.Accept()
		if (err == nil) != woken {
			t.Errorf("woken: %v, want %v", err == nil, woken)
		}
		if err == nil {
			connection.Close()
		}
	}
	if out.String() != "one\ntwo\n" {
		t.Errorf("written: %q", out.String())
	}
}
