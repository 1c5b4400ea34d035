package session

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
)

// turns follows the lines of JSON that an agent reads and writes, to know whether
// it works on a prompt.
type turns struct {
	mu      sync.Mutex
	working bool
	read    lineType // towards the agent
	written lineType // from it
}

// turnEnds are the types of lines after which an agent waits for the next prompt.
var turnEnds = []string{"turn_complete", "interrupted", "error"}

// besideTurns are the types of lines that say nothing about turns.
var besideTurns = []string{"ready", "configured", ""}

func (t *turns) underWay() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.working
}

// told takes what is written to the agent.
func (t *turns) told(data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read.each(data, func(kind string) {
		if kind == "prompt" {
			t.working = true
		}
	})
}

// said takes what the agent writes. A queued prompt follows the end of a turn
// without being told again; the first line of its turn shows that it has begun.
func (t *turns) said(data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written.each(data, func(kind string) {
		if !slices.Contains(besideTurns, kind) {
			t.working = !slices.Contains(turnEnds, kind)
		}
	})
}

// maxLineHead bounds how much of a line is looked at, in bytes.
const maxLineHead = 4 << 10

// lineType finds the type of each line of JSON in a stream.
type lineType struct{ head []byte }

// each calls with the type of every line that ends in data; "" where its beginning
// shows none.
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

// typeOf is the member "type" of an object of which the beginning is given.
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
