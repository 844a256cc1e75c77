// Usage added up over the days, a line for each value of the dimension, the dearest first.
import { countText, dollarsText } from "../../ui/money";
import { Table, Td, Th } from "../../ui/Table";
import type { Series } from "./spend";

interface SpendTableProps {
  heading: string;
  lines: Series[];
  label: (key: string | null) => string;
}

export function SpendTable({ heading, lines, label }: SpendTableProps) {
  return (
    <div className="mt-5">
      <Table caption={`Usage by ${heading}`}>
        <thead>
          <tr>
            <Th>{heading}</Th>
            <Th numeric>Spent</Th>
            <Th numeric>Requests</Th>
            <Th numeric className="max-sm:hidden">
              Failed
            </Th>
            <Th numeric className="max-sm:hidden">
              Tokens in
            </Th>
            <Th numeric className="max-sm:hidden">
              Tokens out
            </Th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <tr key={line.key} data-testid="usage-row">
              <Td className="break-all sm:min-w-40">{label(line.key)}</Td>
              <Td numeric>
                {line.unpriced === line.requests ? (
                  <span className="text-ink-3">price not known</span>
                ) : (
                  dollarsText(line.usd)
                )}
              </Td>
              <Td numeric>{countText(line.requests)}</Td>
              <Td numeric className="max-sm:hidden">
                {countText(line.failed)}
              </Td>
              <Td numeric className="max-sm:hidden">
                {countText(line.input)}
              </Td>
              <Td numeric className="max-sm:hidden">
                {countText(line.output)}
              </Td>
            </tr>
          ))}
        </tbody>
      </Table>
    </div>
  );
}
