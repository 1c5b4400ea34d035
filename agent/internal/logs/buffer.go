// Package logs serves GET /v1/logs: the output of commands, the agent's own
// messages, and the logs of the guest.
package logs

import (
	"strings"
	"sync"
	"time"
)

// Sources of log lines, as the protocol names them.
const (
	sourceFiles = "var_log"
	sourceAgent = "agent"
	Stdout      = "exec_stdout"
	Stderr      = "exec_stderr"
)

const (
	maxLogBytes     = 2 << 20
	maxLogLine      = 8 << 10
	logEntryCost    = 160 // roughly what an entry takes besides its line
	maxLoggedPerSec = 256 << 10
)

// logEntry is one line of the logs.
type logEntry struct {
	time     time.Time
	source   string
	line     string
	path     string
	command  *Command // nil where the line is not a command's
	exitCode *int
}

// Command identifies the command that a line comes from.
type Command struct {
	ID         string
	Executable string
}

// Buffer keeps the newest lines of commands and of the agent, in at most
// maxLogBytes.
type Buffer struct {
	mu      sync.Mutex
	entries []logEntry
	first   uint64 // number of the oldest entry kept
	size    int
	more    chan struct{} // closed when an entry is added; nil while nobody waits
}

func (b *Buffer) add(entry logEntry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, entry)
	b.size += len(entry.line) + logEntryCost
	for b.size > maxLogBytes {
		b.size -= len(b.entries[0].line) + logEntryCost
		b.entries[0] = logEntry{}
		b.entries = b.entries[1:]
		b.first++
	}
	if b.more != nil {
		close(b.more)
		b.more = nil
	}
}

// since returns the entries from a number on, the number after the last, and a
// channel that is closed when there are more.
func (b *Buffer) since(number uint64) (entries []logEntry, next uint64, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if number < b.first {
		number = b.first
	}
	next = b.first + uint64(len(b.entries))
	if number < next {
		entries = append(entries, b.entries[number-b.first:]...)
	}
	if b.more == nil {
		b.more = make(chan struct{})
	}
	return entries, next, b.more
}

// Ended records the end of a command.
func (b *Buffer) Ended(command *Command, exitCode int) {
	b.add(logEntry{time: time.Now(), source: sourceAgent, line: "the command has ended", command: command, exitCode: &exitCode})
}

// Write records messages of the agent itself.
func (b *Buffer) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		b.add(logEntry{time: time.Now(), source: sourceAgent, line: cutLine(strings.TrimSuffix(line, "\n"))})
	}
	return len(text), nil
}

func cutLine(line string) string {
	if len(line) > maxLogLine {
		return line[:maxLogLine]
	}
	return line
}
