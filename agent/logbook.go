package main

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// Sources of log lines, as the protocol names them.
const (
	sourceFiles  = "var_log"
	sourceStdout = "exec_stdout"
	sourceStderr = "exec_stderr"
	sourceAgent  = "agent"
)

const (
	maxLogBytes     = 2 << 20
	maxLogLine      = 8 << 10
	logEntryCost    = 160 // what an entry takes beside its line, about
	maxLoggedPerSec = 256 << 10
)

// logEntry is one line of the logs.
type logEntry struct {
	time     time.Time
	source   string
	line     string
	path     string
	session  *session
	exitCode *int
}

// logbook keeps the last lines that commands have printed and that the agent
// has to say, in at most maxLogBytes.
type logbook struct {
	mu      sync.Mutex
	entries []logEntry
	first   uint64 // number of the oldest entry kept
	size    int
	more    chan struct{} // closed when an entry is added; nil while nobody waits
}

func (l *logbook) add(entry logEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry)
	l.size += len(entry.line) + logEntryCost
	for l.size > maxLogBytes {
		l.size -= len(l.entries[0].line) + logEntryCost
		l.entries[0] = logEntry{}
		l.entries = l.entries[1:]
		l.first++
	}
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// since returns the entries from a number on, the number after them, and a
// channel that is closed when there are more.
func (l *logbook) since(number uint64) (entries []logEntry, next uint64, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number < l.first {
		number = l.first
	}
	next = l.first + uint64(len(l.entries))
	if number < next {
		entries = append(entries, l.entries[number-l.first:]...)
	}
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return entries, next, l.more
}

// Write takes what the agent says of itself.
func (l *logbook) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		l.add(logEntry{time: time.Now(), source: sourceAgent, line: cutLine(strings.TrimSuffix(line, "\n"))})
	}
	return len(text), nil
}

func cutLine(line string) string {
	if len(line) > maxLogLine {
		return line[:maxLogLine]
	}
	return line
}

// leftOut stands in the logs for output beyond what they take.
const leftOut = "(more output than the logs take in a second; the rest of it is left out)"

// lineLog turns one output stream of a command into lines of the logbook.
type lineLog struct {
	book    *logbook
	session *session
	source  string

	mu      sync.Mutex
	partial []byte
	second  int64 // the second that the allowance is for
	left    int
}

// write takes output. What is beyond the allowance of a second is left out:
// the logs are not to cost a command that prints megabytes its speed.
func (l *lineLog) write(data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := time.Now().Unix(); second != l.second {
		l.second, l.left = second, maxLoggedPerSec
	}
	if l.left <= 0 {
		return
	}
	for len(data) > 0 && l.left > 0 {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		l.left -= len(line) + logEntryCost
		l.partial = append(l.partial, line[:min(len(line), maxLogLine-len(l.partial))]...)
		if whole {
			l.flush()
		}
		data = rest
	}
	if l.left <= 0 {
		l.partial = append(l.partial[:0], leftOut...)
		l.flush()
	}
}

func (l *lineLog) flush() {
	line := strings.TrimSuffix(string(l.partial), "\r")
	l.book.add(logEntry{time: time.Now(), source: l.source, line: line, session: l.session})
	l.partial = l.partial[:0]
}

// end writes down what came after the last line feed.
func (l *lineLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.flush()
	}
}
