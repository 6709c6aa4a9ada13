#include "tools/table.h"

#include <algorithm>

namespace tidemark::tools {

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get_ref<const std::string&>() : JsonText(value);
}

void WriteTable(const Json& rows, const std::vector<std::string>& fields, Output* output) {
  std::vector<size_t> widths;
  for (const std::string& field : fields) {
    size_t width = field.size();
    for (const Json& row : rows) width = std::max(width, TextOf(row.value(field, Json())).size());
    widths.push_back(width);
  }
  const auto write_cell = [&](size_t column, const std::string& text, bool to_the_right) {
    const std::string padding(widths[column] - text.size(), ' ');
    const bool last = column + 1 == fields.size();
    output->Write(to_the_right ? padding + text : text + (last ? "" : padding));
    output->Write(last ? "\n" : "  ");
  };
  const auto is_number = [&](const std::string& field) {
    return !rows.empty() && rows.front().value(field, Json()).is_number();
  };
  for (size_t i = 0; i < fields.size(); ++i) {
    std::string title = fields[i];
    std::transform(title.begin(), title.end(), title.begin(), [](char c) {
      return c == '_' ? ' ' : (c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
    });
    write_cell(i, title, is_number(fields[i]));
  }
  for (const Json& row : rows) {
    for (size_t i = 0; i < fields.size(); ++i) {
      write_cell(i, TextOf(row.value(fields[i], Json())), is_number(fields[i]));
    }
  }
}

}  // namespace tidemark::tools
