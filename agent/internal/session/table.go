package session

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

// Table holds the commands that run and the results of those that did.
type Table struct {
	groups    *cgroup.Groups
	book      *logs.Book
	budget    *transcript.Budget
	maxBuffer int

	mu       sync.Mutex
	byID     map[string]*Session
	running  int
	finished []*Session // in order of their end
	expiry   *time.Timer
}

// NewTable makes the table of a machine: output may take an eighth of its memory.
func NewTable(groups *cgroup.Groups, book *logs.Book) *Table {
	memory := int64(linux.MemoryTotal())
	if memory == 0 {
		memory = 256 << 20
	}
	return &Table{
		groups:    groups,
		book:      book,
		budget:    transcript.NewBudget(memory / 8),
		maxBuffer: int(max(minBufferBytes, min(maxBufferBytes, memory/16))),
		byID:      make(map[string]*Session),
	}
}

// reserve claims an id, the host's or a new one, and a place among the running.
func (t *Table) reserve(spec *Spec) (*Session, error) {
	id, bufferBytes := spec.ID, spec.BufferBytes
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
	argv := shortened(spec.Argv)
	created := &Session{
		ID:         id,
		Transcript: transcript.New(limit, t.budget, spec.Hold),
		kind:       spec.Kind,
		argv:       argv,
		group:      &cgroup.Group{},
		done:       make(chan struct{}),
		book:       t.book,
		command:    &logs.Command{ID: id, Executable: argv[0]},
		alone:      spec.Alone,
	}
	if spec.Terminal == nil {
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
func (t *Table) abandon(s *Session) {
	t.groups.Release(s.group)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, s.ID)
	t.running--
}

// retire moves an ended command to the finished ones.
func (t *Table) retire(s *Session) {
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
func (t *Table) expire() {
	for len(t.finished) > 0 {
		oldest := t.finished[0]
		age := time.Since(oldest.retired)
		crowded := len(t.finished) > 1 && t.budget.Tight()
		if len(t.finished) <= maxFinished && age < finishedRetention && !crowded {
			t.plan(finishedRetention - age)
			return
		}
		t.finished = slices.Delete(t.finished, 0, 1)
		delete(t.byID, oldest.ID)
		oldest.Transcript.Discard()
	}
}

func (t *Table) plan(after time.Duration) {
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

// Find returns a command that has started.
func (t *Table) Find(id string) (*Session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if found := t.byID[id]; found != nil && found.begun() {
		return found, nil
	}
	return nil, wire.Refuse(http.StatusNotFound, "not_found", "there is no command %.64q", id)
}

// List returns every command, oldest first.
func (t *Table) List() []*Session {
	t.mu.Lock()
	all := make([]*Session, 0, len(t.byID))
	for _, candidate := range t.byID {
		if candidate.begun() {
			all = append(all, candidate)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b *Session) int { return a.started.Compare(b.started) })
	return all
}

func errSessionEnded(id string) error {
	return wire.Refuse(http.StatusConflict, "ended", "the command %s has ended", id)
}
