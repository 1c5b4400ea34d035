package session

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"opencomputer.dev/agent/internal/cgroup"
	"opencomputer.dev/agent/internal/logs"
	"opencomputer.dev/agent/internal/transcript"
	"opencomputer.dev/agent/internal/wire"
)

func TestFinishedSessionsAreForgotten(t *testing.T) {
	table := NewTable(&cgroup.Groups{}, &logs.Buffer{})
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
	var refused *wire.Refusal
	if _, err := table.Find(first.ID); !errors.As(err, &refused) || refused.Code != "not_kept" {
		t.Errorf("the oldest of too many: %v", err)
	}
	if _, err := table.Find("nothing!"); !errors.As(err, &refused) || refused.Code != "not_found" {
		t.Errorf("one that never was: %v", err)
	}
	for range 2 * maxForgotten {
		table.forget(randomID())
	}
	if len(table.forgotten) > maxForgotten {
		t.Errorf("%d commands are remembered", len(table.forgotten))
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

func TestOutputIsKeptWithinABound(t *testing.T) {
	table := NewTable(&cgroup.Groups{}, &logs.Buffer{})
	table.keep = 100 << 10
	var all []*Session
	retire := func(bytes int) {
		s, err := table.reserve(&Spec{Argv: []string{"x"}})
		if err != nil {
			t.Fatal(err)
		}
		s.begin(1)
		s.Transcript.Add(transcript.Stdout, make([]byte, bytes))
		table.retire(s)
		all = append(all, s)
	}
	kept := func() (count int) {
		for _, s := range all {
			if found, err := table.Find(s.ID); err != nil || found != s {
				t.Fatalf("a command is lost: %v", err)
			}
			if s.Transcript.Size() > 0 {
				count++
			} else if !s.Transcript.Truncated() {
				t.Fatal("output is gone and nothing says so")
			}
		}
		return count
	}
	for range 10 {
		retire(30 << 10)
	}
	if got := kept(); got != 10 {
		t.Errorf("%d of 10 outputs are kept for those who have not fetched them yet", got)
	}
	later := func() {
		table.mu.Lock()
		for _, s := range all {
			s.retired = s.retired.Add(-recent)
		}
		table.expire()
		table.mu.Unlock()
	}
	later()
	if got := kept(); got != 3 {
		t.Errorf("%d outputs are kept later on, want 3", got)
	}
	for range 100 {
		later()
	}
	if got := kept(); got != 3 {
		t.Errorf("%d outputs are kept the day after, want 3", got)
	}
	retire(900 << 10)
	later()
	if got := kept(); got != 1 {
		t.Errorf("%d outputs are kept beside a large one, want that alone", got)
	}
}
