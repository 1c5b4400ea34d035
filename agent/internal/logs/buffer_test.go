package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestLogsOfALoudCommandAreBounded(t *testing.T) {
	buffer := &Buffer{}
	lines := buffer.NewLines(&Command{ID: "00112233", Executable: "seq"}, Stdout)
	for i := range 1_000_000 {
		lines.Write(fmt.Appendln(nil, i))
	}
	lines.End()
	if buffer.size > maxLogBytes || len(buffer.entries) == 0 {
		t.Errorf("%d bytes in %d lines", buffer.size, len(buffer.entries))
	}
	if !slices.ContainsFunc(buffer.entries, func(entry logEntry) bool { return entry.line == leftOut }) {
		t.Error("nothing says that output was left out")
	}
}

func TestBookForgetsTheOldestLines(t *testing.T) {
	buffer := &Buffer{}
	for i := range 50_000 {
		buffer.add(logEntry{line: fmt.Sprint(i), source: sourceAgent})
	}
	entries, next, _ := buffer.since(0)
	if next != 50_000 || entries[len(entries)-1].line != "49999" || len(entries)*logEntryCost > maxLogBytes {
		t.Errorf("%d entries up to %d", len(entries), next)
	}
}

func TestLogFiles(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "app", "app.log")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, "2026-01-02T03:04:05Z first\nsecond\nnot yet wh")
	writeFile(t, filepath.Join(directory, "wtmp"), "\x00\x01binary\n")
	writeFile(t, filepath.Join(directory, "old.log.gz"), "packed\n")
	files := newLogFiles(directory)
	got := files.read()
	if len(got) != 2 || got[0].line != "2026-01-02T03:04:05Z first" || got[0].time.Year() != 2026 || got[0].time.Month() != 1 || got[1].path != file {
		t.Fatalf("%+v", got)
	}
	appended, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(appended, "ole\nfourth\n")
	appended.Close()
	if got = files.read(); len(got) != 2 || got[0].line != "not yet whole" || got[1].line != "fourth" {
		t.Fatalf("%+v", got)
	}
	writeFile(t, file, "rotated\n")
	if got = files.read(); len(got) != 1 || got[0].line != "rotated" {
		t.Fatalf("%+v", got)
	}
	if err := os.Symlink("/etc/shadow", filepath.Join(directory, "shadow.log")); err != nil {
		t.Fatal(err)
	}
	if got = files.read(); len(got) != 0 {
		t.Fatalf("followed a link: %+v", got)
	}
}

func TestJournalLines(t *testing.T) {
	entry, ok := parseJournal([]byte(`{"__REALTIME_TIMESTAMP":"1767323045000000","MESSAGE":"hello","SYSLOG_IDENTIFIER":"app"}`))
	if !ok || entry.line != "app: hello" || entry.time.Unix() != 1767323045 {
		t.Errorf("%+v", entry)
	}
	for _, line := range []string{`{`, `{"MESSAGE":[1,2]}`, `{"MESSAGE":"x","__REALTIME_TIMESTAMP":"y"}`, `{"MESSAGE":"x","__REALTIME_TIMESTAMP":"1","SYSLOG_IDENTIFIER":"agent","_SYSTEMD_UNIT":"opencomputer-agent.service"}`} {
		if _, ok := parseJournal([]byte(line)); ok {
			t.Errorf("%s was taken", line)
		}
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
