package explain

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// noSuch says that a message has no such field (or parameter) and suggests a field with a
// similar name, or with this name one level below. Without a likely one, it lists all.
func noSuch(what string, message protoreflect.MessageDescriptor, name string) string {
	if likely := likelyField(message, name); likely != "" {
		return fmt.Sprintf("there is no such %s; did you mean %s?", what, likely)
	}
	return fmt.Sprintf("there is no such %s; it can be one of %s", what, fieldNames(message))
}

func likelyField(message protoreflect.MessageDescriptor, name string) string {
	if len(name) > maxQuoted {
		return ""
	}
	var likely string
	best := mistakes(name) + 1
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		if d := spelling(name, field.JSONName()); d < best {
			likely, best = field.JSONName(), d
		}
	}
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		if field.Message() == nil || isWellKnown(field.Message()) || field.IsList() {
			continue
		}
		if below := fieldNamed(field.Message(), name); below != nil && best > 0 {
			return field.JSONName() + "." + below.JSONName()
		}
	}
	return likely
}

// minStem is the minimum length of a name that counts as the beginning of another.
const minStem = 4

// mistakes returns how many mistakes a name may have and still be recognised.
func mistakes(name string) int { return max(1, len(name)/3) }

// spelling returns the distance of a name from a field's: 0 if they differ only in style or
// in singular and plural, 1 if one begins with the other.
func spelling(name, field string) int {
	name, field = plainName(name), plainName(field)
	if name == field || plural(name) == field || name == plural(field) {
		return 0
	}
	if len(name) >= minStem && strings.HasPrefix(field, name) || len(field) >= minStem && strings.HasPrefix(name, field) {
		return 1
	}
	return min(editDistance(name, field), editDistance(plural(name), field))
}

func plainName(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace(name))
}

func plural(name string) string {
	if stem, found := strings.CutSuffix(name, "y"); found {
		return stem + "ies"
	}
	return name + "s"
}

// editDistance returns how many letters must be changed, added, removed or swapped with a
// neighbour to turn a into b.
func editDistance(a, b string) int {
	from, to := []rune(a), []rune(b)
	var before []int // the row above last
	last := make([]int, len(to)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(from); i++ {
		row := make([]int, len(to)+1)
		row[0] = i
		for j := 1; j <= len(to); j++ {
			cost := 1
			if from[i-1] == to[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && from[i-1] == to[j-2] && from[i-2] == to[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(to)]
}

// fieldNames lists the fields of a message.
func fieldNames(message protoreflect.MessageDescriptor) string {
	var names []string
	for i := range message.Fields().Len() {
		names = append(names, message.Fields().Get(i).JSONName())
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
