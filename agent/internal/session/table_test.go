package session

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"opencomputer.dev/agent/internal/cgroup"
	"opencomputer.dev/agent/internal/logs"
)

func TestFinishedSessionsAreForgotten(t *testing.T) {
	table := NewTable(&cgroup.Groups{}, &logs.Book{})
	retire := func(argv string) *Session {
		s, err := table.reserve(&Spec{Argv: []string{argv}})
		if err != nil {
			t.Fatal(err)
		}
		s.begin(1)
		table.retire(s)
		return s
	}
	first := retire("first")
	for i := range maxFinished {
		retire(strconv.Itoa(i))
	}
	if _, err := table.Find(first.ID); err == nil {
		t.Error("the oldest of too many is still there")
	}
	table.mu.Lock()
	for _, s := range table.finished[:100] {
		s.retired = time.Now().Add(-finishedRetention)
	}
	table.expire()
	left := len(table.finished)
	table.mu.Unlock()
	if left != maxFinished-100 {
		t.Errorf("%d finished sessions left", left)
	}
	for range maxRunning {
		if _, err := table.reserve(&Spec{Argv: []string{"x"}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := table.reserve(&Spec{Argv: []string{"x"}}); err == nil || !strings.Contains(err.Error(), "1024") {
		t.Errorf("one too many running: %v", err)
	}
}

func TestShortenedArgv(t *testing.T) {
	if got := shortened([]string{"a", "b"}); len(got) != 2 {
		t.Errorf("short argv became %q", got)
	}
	got := shortened([]string{"a", strings.Repeat("x", 1<<20), "c"})
	if text, err := json.Marshal(got); err != nil || len(got) != 2 || len(text) > maxKeptArgv+100 {
		t.Errorf("long argv became %d bytes (%v)", len(text), err)
	}
}
