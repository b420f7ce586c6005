package inspect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// mostItems is how much of an array is shown.
const mostItems = 20

// shown is a value fit to print: text without its quotes, an array of texts with
// commas, all else as JSON in one line.
func shown(v strictjson.Value) string {
	if text, ok := v.Text(); ok {
		if text == "" {
			return "(an empty string)"
		}
		return oauth.Shown(text)
	}
	if texts, ok := v.Texts(); ok {
		if len(texts) == 0 {
			return "(an empty array)"
		}
		all := make([]string, 0, mostItems+1)
		for i, text := range texts {
			if i == mostItems {
				all = append(all, fmt.Sprintf("and %d more", len(texts)-i))
				break
			}
			all = append(all, oauth.Shown(text))
		}
		return strings.Join(all, ", ")
	}
	var line bytes.Buffer
	if json.Compact(&line, []byte(v)) != nil { // cannot be: v was read before
		return "(unreadable)"
	}
	return oauth.Shown(strings.ReplaceAll(line.String(), `"`, "'"))
}

// mostMembers is how many members of an object are shown.
const mostMembers = 100

// all shows every member of an object, as it stands there.
func all(title string, members strictjson.Members) Section {
	s := Section{Title: title}
	for i, m := range members {
		if i == mostMembers {
			s.add("…", fmt.Sprintf("and %d more members", len(members)-i))
			break
		}
		s.add(oauth.Shown(m.Name), shown(m.Value))
	}
	return s
}

// text is a member that should be a string; empty when it is not.
func text(members strictjson.Members, name string) string {
	v, _ := members.Get(name)
	s, _ := v.Text()
	return s
}
