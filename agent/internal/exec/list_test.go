package exec

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"opencomputer.dev/agent/internal/session"
)

// The host's limits for a list.
const hostBytes, hostCommas = 8 << 20, 200_000

func commands(count int, argv ...string) []session.Snapshot {
	shots := make([]session.Snapshot, count)
	for i := range shots {
		shots[i] = session.Snapshot{ID: fmt.Sprintf("%08x", i), Kind: "run", Argv: argv}
	}
	return shots
}

// The largest number of commands that an agent keeps, with arguments that are
// costly to list.
func TestListIsNeverMoreThanTheHostTakes(t *testing.T) {
	const most = 1024 + 512
	for name, argv := range map[string][]string{
		"long":          {"sh", "-c", strings.Repeat("x", 16<<10)},
		"escaped":       {"sh", "-c", strings.Repeat("\x01", 16<<10)},
		"not UTF-8":     {"sh", "-c", strings.Repeat("\xff", 16<<10)},
		"in pieces":     {"sh", "-c", strings.Repeat("\u20ac", 5<<10)},
		"many":          slices.Repeat([]string{"a"}, 900),
		"many and none": slices.Repeat([]string{""}, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			sendList(recorder, commands(most, argv...))
			body := recorder.Body.Bytes()
			commas := strings.Count(string(body), ",")
			if len(body) > hostBytes || commas > hostCommas {
				t.Errorf("%d bytes, %d commas", len(body), commas)
			}
			var list struct{ Sessions []struct{ Argv []string } }
			if err := json.Unmarshal(body, &list); err != nil {
				t.Fatal(err)
			}
			if len(list.Sessions) != most {
				t.Fatalf("%d commands", len(list.Sessions))
			}
			for _, listed := range list.Sessions {
				last := len(listed.Argv) - 1
				if last < 2 || listed.Argv[0] != argv[0] || !strings.HasSuffix(listed.Argv[last], "...") || strings.Contains(listed.Argv[last], "\uFFFD") {
					t.Fatalf("%d arguments: %.100q", last+1, listed.Argv)
				}
			}
		})
	}
}

func TestListShowsAllArgumentsWhereThereIsRoom(t *testing.T) {
	argv := []string{"sh", "-c", strings.Repeat("\x01", 16<<10)}
	body, fits := appendList(nil, commands(64, argv...), argumentRoom{math.MaxInt, math.MaxInt})
	if !fits || strings.Contains(string(body), "...") {
		t.Errorf("fits: %v, %d bytes", fits, len(body))
	}
}
