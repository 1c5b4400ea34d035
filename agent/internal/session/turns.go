package session

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
)

// turns parses the lines of JSON that a coding agent reads and writes, to know
// whether it works on a prompt.
type turns struct {
	mu      sync.Mutex
	working bool
	read    lineType // to the coding agent
	written lineType // from it
}

// turnEnds are the types of lines after which a coding agent waits for the next
// prompt.
var turnEnds = []string{"turn_complete", "interrupted", "error"}

// besideTurns are the types of lines that have nothing to do with turns.
var besideTurns = []string{"ready", "configured", ""}

func (t *turns) underWay() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.working
}

// input handles what is written to the coding agent.
func (t *turns) input(data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read.each(data, func(kind string) {
		if kind == "prompt" {
			t.working = true
		}
	})
}

// output handles what the coding agent writes. After the end of a turn it takes a
// queued prompt by itself; the first line of that turn shows that it has begun.
func (t *turns) output(data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written.each(data, func(kind string) {
		if !slices.Contains(besideTurns, kind) {
			t.working = !slices.Contains(turnEnds, kind)
		}
	})
}

// maxLineHead bounds how much of a line is parsed, in bytes.
const maxLineHead = 4 << 10

// lineType finds the type of each line of JSON in a stream.
type lineType struct{ head []byte }

// each calls found with the type of every line that ends in data, or with "" where
// the line's beginning has no type.
func (l *lineType) each(data []byte, found func(kind string)) {
	for len(data) > 0 {
		line, rest, ended := bytes.Cut(data, []byte{'\n'})
		l.head = append(l.head, line[:min(len(line), maxLineHead-len(l.head))]...)
		if ended {
			found(typeOf(l.head))
			l.head = l.head[:0]
		}
		data = rest
	}
}

// typeOf returns the member "type" of an object whose beginning is given.
func typeOf(head []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(head))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return ""
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return ""
		}
		if name == "type" {
			value, err := decoder.Token()
			kind, isText := value.(string)
			if err != nil || !isText {
				return ""
			}
			return kind
		}
		var skipped json.RawMessage
		if decoder.Decode(&skipped) != nil {
			return ""
		}
	}
	return ""
}
