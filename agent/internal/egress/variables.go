package egress

import (
	"maps"
	"slices"
	"strings"
)

// The lines around the host's part of /etc/environment.
const (
	variablesBegin = "# Of the host's network; what is between these lines is replaced.\n"
	variablesEnd   = "# End of what is of the host's network.\n"
)

// withVariables replaces the host's part of an /etc/environment. It comes first,
// so that the guest's own settings override it.
func withVariables(text string, environment map[string]string) string {
	if before, rest, found := strings.Cut(text, variablesBegin); found {
		_, after, ended := strings.Cut(rest, variablesEnd)
		if ended {
			text = before + after
		}
	}
	if len(environment) == 0 {
		return text
	}
	var part strings.Builder
	part.WriteString(variablesBegin)
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		part.WriteString(name + "=" + environment[name] + "\n")
	}
	part.WriteString(variablesEnd)
	return part.String() + text
}
