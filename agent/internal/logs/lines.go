package logs

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// leftOut stands in the logs for output beyond the limit.
const leftOut = "(more output than the logs take in a second; the rest of it is left out)"

// Lines turns one output stream of a command into lines of the logs.
type Lines struct {
	buffer  *Buffer
	command *Command
	source  string

	mu      sync.Mutex
	partial []byte
	second  int64 // the second that the allowance is for
	left    int
}

// NewLines is for one output stream of a command, Stdout or Stderr.
func (b *Buffer) NewLines(command *Command, source string) *Lines {
	return &Lines{buffer: b, command: command, source: source}
}

// Write adds output. Output beyond the allowance per second is left out, so that
// the logs do not slow down a command that prints megabytes.
func (l *Lines) Write(data []byte) {
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

func (l *Lines) flush() {
	line := strings.TrimSuffix(string(l.partial), "\r")
	l.buffer.add(logEntry{time: time.Now(), source: l.source, line: line, command: l.command})
	l.partial = l.partial[:0]
}

// End adds what came after the last line feed.
func (l *Lines) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.flush()
	}
}
