package exec

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"opencomputer.dev/agent/internal/session"
	"opencomputer.dev/agent/internal/wire"
)

// The host's limits for a list: 8 MiB, and 200,000 commas between values. A
// command has 15 of these besides its arguments.
const (
	maxListBytes     = 7 << 20
	maxListArguments = 100_000
	// maxEscape is how many bytes of JSON one byte of text takes at most.
	maxEscape = 6
)

// argumentRoom is how many bytes of a list the arguments of one command may take.
type argumentRoom struct{ bytes, count int }

// List answers with every command, without output.
func (c *Calls) List(w http.ResponseWriter) error {
	var shots []session.Snapshot
	for _, s := range c.Sessions.List() {
		shots = append(shots, s.Snapshot())
	}
	sendList(w, shots)
	return nil
}

// sendList answers with commands. Where their arguments together are too long for
// a list, those of each command are shortened to an equal share.
func sendList(w http.ResponseWriter, shots []session.Snapshot) {
	body, fits := appendList(nil, shots, argumentRoom{math.MaxInt, math.MaxInt})
	if !fits {
		share := argumentRoom{maxListBytes / 2 / len(shots), maxListArguments / len(shots)}
		body, _ = appendList(body[:0], shots, share)
	}
	wire.SendBody(w, http.StatusOK, body)
}

// appendList appends the list of commands, and reports whether it is within the
// host's limits.
func appendList(out []byte, shots []session.Snapshot, room argumentRoom) ([]byte, bool) {
	arguments := 0
	out = append(out, `{"sessions":[`...)
	for i, shot := range shots {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendInfo(out, shot, room)
		arguments += min(len(shot.Argv), room.count)
		if len(out) > maxListBytes || arguments > maxListArguments {
			return out, false
		}
	}
	return append(out, "]}"...), true
}

// appendArguments appends arguments as long as there is room; three dots stand for
// the rest.
func appendArguments(out []byte, argv []string, room argumentRoom) []byte {
	left := room.bytes
	for i, argument := range argv {
		if i > 0 {
			out = append(out, ',')
		}
		if i+1 >= room.count && i+1 < len(argv) {
			return wire.AppendString(out, "...")
		}
		before := len(out)
		out = wire.AppendString(out, argument)
		if took := len(out) - before + 1; took <= left {
			left -= took
			continue
		}
		kept := strings.ToValidUTF8(argument[:min(len(argument), max(0, left)/maxEscape)], "")
		return wire.AppendString(out[:before], kept+"...")
	}
	return out
}

// appendInfo appends an ExecInfo with arguments that take no more than room.
func appendInfo(out []byte, shot session.Snapshot, room argumentRoom) []byte {
	out = appendState(out, &shot)
	out = append(out, `,"truncated":`...)
	out = strconv.AppendBool(out, shot.Truncated)
	out = append(out, `,"argv":[`...)
	out = appendArguments(out, shot.Argv, room)
	out = append(out, `],"kind":`...)
	out = wire.AppendString(out, shot.Kind)
	if shot.Unlisted {
		out = append(out, `,"unlisted":true`...)
	}
	out = append(out, `,"stdin":`...)
	out = strconv.AppendBool(out, shot.Input)
	out = append(out, `,"tty":`...)
	out = strconv.AppendBool(out, shot.Terminal)
	out = append(out, `,"attached":`...)
	out = strconv.AppendInt(out, int64(shot.Attached), 10)
	out = append(out, `,"keepAwake":`...)
	out = strconv.AppendBool(out, shot.KeepAwake)
	return append(out, '}')
}
