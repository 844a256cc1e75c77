// Which second factors one has.
import { queryOptions } from "@tanstack/react-query";
import { answer, api } from "../../api/client";

export const factorsQuery = queryOptions({
  queryKey: ["account", "factors"],
  queryFn: () => answer(api.GET("/v1/auth/2fa")),
});
