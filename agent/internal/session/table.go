package session

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
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
	maxRunning = 1024
	// maxFinished is for how many ended commands the exit code is kept.
	maxFinished = 512
	// recent is how long all output of a command is kept after its end, if there
	// is enough memory.
	recent = 10 * time.Minute
	// maxKeptBytes bounds the output that is kept of commands which ended earlier
	// than that.
	maxKeptBytes = 32 << 20
	// maxForgotten is of how many commands only the id is remembered.
	maxForgotten = 32 << 10

	defaultBufferBytes = 1 << 20
	maxBufferBytes     = 16 << 20
	minBufferBytes     = 4 << 10
)

// Table holds the running commands and the results of ended ones.
type Table struct {
	groups    *cgroup.Groups
	logBuffer *logs.Buffer
	budget    *transcript.Budget
	maxBuffer int

	mu       sync.Mutex
	byID     map[string]*Session
	running  int
	finished []*Session // in order of their end
	keep     int        // bytes of output that may be kept of commands which did not end recently
	lastUse  time.Time  // when the last use ended
	expiry   *time.Timer

	forgotten      map[uint32]struct{} // ids of commands of which nothing else is kept
	forgottenOrder []uint32
}

// NewTable makes the table of a machine. Output may take an eighth of its memory.
func NewTable(groups *cgroup.Groups, logBuffer *logs.Buffer) *Table {
	memory := int64(linux.MemoryTotal())
	if memory == 0 {
		memory = 256 << 20
	}
	return &Table{
		groups:    groups,
		logBuffer: logBuffer,
		budget:    transcript.NewBudget(memory / 8),
		maxBuffer: int(max(minBufferBytes, min(maxBufferBytes, memory/16))),
		keep:      int(min(maxKeptBytes, memory/32)),
		byID:      make(map[string]*Session),
		forgotten: make(map[uint32]struct{}),
	}
}

// reserve claims an id, the host's or a new one, and counts the command as
// running.
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
		unlisted:   spec.Unlisted,
		argv:       argv,
		group:      &cgroup.Group{},
		done:       make(chan struct{}),
		logBuffer:  t.logBuffer,
		alone:      spec.Alone,
		background: spec.Background,
	}
	if spec.Kind == agentKind {
		created.turns = &turns{}
	}
	if !spec.Unlogged {
		created.command = &logs.Command{ID: id, Executable: argv[0]}
	}
	if spec.Terminal == nil && !spec.Unlogged {
		created.lines = [2]*logs.Lines{
			t.logBuffer.NewLines(created.command, logs.Stdout), t.logBuffer.NewLines(created.command, logs.Stderr),
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

// abandon removes a command that never started.
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
	s.Transcript.Compact()
	if !s.background {
		t.lastUse = s.retired
	}
	t.finished = append(t.finished, s)
	t.expire()
}

// expire frees what is kept of finished commands, the oldest first. Beyond
// maxFinished they are forgotten. Their output is dropped earlier: of commands
// that ended a while ago beyond maxKeptBytes, and of any while memory is short.
// The newest always keeps its output.
func (t *Table) expire() {
	for len(t.finished) > maxFinished {
		oldest := t.finished[0]
		t.finished = slices.Delete(t.finished, 0, 1)
		delete(t.byID, oldest.ID)
		t.forget(oldest.ID)
		oldest.Transcript.Discard()
	}
	newest := len(t.finished) - 1
	for i := 0; i < newest && t.budget.Tight(); i++ {
		t.finished[i].Transcript.Discard()
	}
	total := 0
	var next time.Duration
	for i := newest; i >= 0; i-- {
		s := t.finished[i]
		size, age := s.Transcript.Size(), time.Since(s.retired)
		total += size
		switch {
		case total <= t.keep || size == 0 || i == newest:
		case age < recent:
			next = recent - age // at last the age of the oldest of them
		default:
			total -= size
			s.Transcript.Discard()
		}
	}
	if next > 0 {
		t.plan(next)
	}
}

// forget keeps only the id of a command.
func (t *Table) forget(id string) {
	number, err := strconv.ParseUint(id, 16, 32)
	if err != nil {
		return
	}
	if len(t.forgottenOrder) >= maxForgotten {
		delete(t.forgotten, t.forgottenOrder[0])
		t.forgottenOrder = t.forgottenOrder[1:]
	}
	t.forgotten[uint32(number)] = struct{}{}
	t.forgottenOrder = append(t.forgottenOrder, uint32(number))
}

func (t *Table) isForgotten(id string) bool {
	number, err := strconv.ParseUint(id, 16, 32)
	_, known := t.forgotten[uint32(number)]
	return err == nil && known
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
	if t.isForgotten(id) {
		return nil, wire.Refuse(http.StatusNotFound, "not_kept", "the result of the command %.64q is no longer kept", id)
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
