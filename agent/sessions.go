package main

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"opencomputer.dev/agent/internal/cgroup"
	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/logs"
	"opencomputer.dev/agent/internal/transcript"
	"opencomputer.dev/agent/internal/wire"
)

const (
	maxRunning        = 1024
	maxFinished       = 512
	finishedRetention = 10 * time.Minute

	defaultBufferBytes = 1 << 20
	maxBufferBytes     = 16 << 20
	minBufferBytes     = 4 << 10
)

// sessionTable holds the commands that run and the results of those that did.
type sessionTable struct {
	groups    *cgroup.Groups
	book      *logs.Book
	budget    *transcript.Budget
	maxBuffer int

	mu       sync.Mutex
	byID     map[string]*session
	running  int
	finished []*session // in order of their end
	expiry   *time.Timer
}

func newSessionTable(groups *cgroup.Groups, book *logs.Book) *sessionTable {
	memory := int64(linux.MemoryTotal())
	if memory == 0 {
		memory = 256 << 20
	}
	return &sessionTable{
		groups:    groups,
		book:      book,
		budget:    transcript.NewBudget(memory / 8),
		maxBuffer: int(max(minBufferBytes, min(maxBufferBytes, memory/16))),
		byID:      make(map[string]*session),
	}
}

// reserve claims an id, the host's or a new one, and a place among the running.
func (t *sessionTable) reserve(request *execRequest) (*session, error) {
	id, bufferBytes := request.ID, request.BufferBytes
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running >= maxRunning {
		return nil, wire.Refuse(http.StatusTooManyRequests, "too_many_sessions", "%d commands are running, the most there may be", maxRunning)
	}
	if id == "" {
		for id == "" || t.byID[id] != nil {
			id = randomID()
		}
	} else if t.byID[id] != nil {
		return nil, wire.Refuse(http.StatusConflict, "already_exists", "there is a command %s already", id)
	}
	if bufferBytes == 0 {
		bufferBytes = defaultBufferBytes
	}
	limit := max(minBufferBytes, min(bufferBytes, t.maxBuffer))
	argv := shortened(request.Argv)
	created := &session{
		id:         id,
		kind:       request.Kind,
		argv:       argv,
		group:      &cgroup.Group{},
		done:       make(chan struct{}),
		book:       t.book,
		command:    &logs.Command{ID: id, Executable: argv[0]},
		transcript: transcript.New(limit, t.budget, time.Duration(request.HoldMs)*time.Millisecond),
		alone:      time.Duration(request.MaxRunAfterDisconnectMs) * time.Millisecond,
	}
	if request.TTY == nil {
		created.lines = [2]*logs.Lines{
			t.book.NewLines(created.command, logs.Stdout), t.book.NewLines(created.command, logs.Stderr),
		}
	}
	t.byID[id] = created
	t.running++
	return created, nil
}

// maxKeptArgv bounds what a session remembers of its arguments, in bytes.
const maxKeptArgv = 16 << 10

// shortened returns argv, cut after maxKeptArgv bytes.
func shortened(argv []string) []string {
	size := 0
	for i, argument := range argv {
		if size+len(argument)+16 > maxKeptArgv {
			kept := slices.Clone(argv[:i])
			return append(kept, strings.Clone(argument[:max(0, maxKeptArgv-size-16)])+"...")
		}
		size += len(argument) + 16
	}
	return argv
}

func randomID() string {
	var bytes [4]byte
	rand.Read(bytes[:])
	return hex.EncodeToString(bytes[:])
}

// abandon gives up the place of a command that never started.
func (t *sessionTable) abandon(s *session) {
	t.groups.Release(s.group)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, s.id)
	t.running--
}

// retire moves an ended command to the finished ones.
func (t *sessionTable) retire(s *session) {
	t.groups.Release(s.group)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	s.retired = time.Now()
	t.finished = append(t.finished, s)
	t.expire()
}

// expire drops finished commands that are too old, too many or, while memory
// is short, too big, and plans the next look. The newest stays.
func (t *sessionTable) expire() {
	for len(t.finished) > 0 {
		oldest := t.finished[0]
		age := time.Since(oldest.retired)
		crowded := len(t.finished) > 1 && t.budget.Tight()
		if len(t.finished) <= maxFinished && age < finishedRetention && !crowded {
			t.plan(finishedRetention - age)
			return
		}
		t.finished = slices.Delete(t.finished, 0, 1)
		delete(t.byID, oldest.id)
		oldest.transcript.Discard()
	}
}

func (t *sessionTable) plan(after time.Duration) {
	if t.expiry != nil {
		t.expiry.Reset(after)
		return
	}
	t.expiry = time.AfterFunc(after, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.expire()
	})
}

func (t *sessionTable) find(id string) (*session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if found := t.byID[id]; found != nil && found.begun() {
		return found, nil
	}
	return nil, wire.Refuse(http.StatusNotFound, "not_found", "there is no command %.64q", id)
}

// list returns every command, oldest first.
func (t *sessionTable) list() []*session {
	t.mu.Lock()
	all := make([]*session, 0, len(t.byID))
	for _, candidate := range t.byID {
		if candidate.begun() {
			all = append(all, candidate)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b *session) int { return a.started.Compare(b.started) })
	return all
}

func errSessionEnded(id string) error {
	return wire.Refuse(http.StatusConflict, "ended", "the command %s has ended", id)
}
