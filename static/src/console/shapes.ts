// What the API answers, under the names that the console uses.

export type {
  Delivery,
  Event,
  EventPage,
  FailedJob,
  History,
  HistoryHour,
  Host,
  JobFull as Job,
  JobRow,
  Lane,
  LateJob,
  Pool,
  ResourcesAsked as Resources,
  Schedule,
  ServerStatus as Status,
  Task,
  Tick,
} from "../contract";

export interface List<Item> {
  items: Item[];
  total: number;
  page: number;
  pages: number;
  hasNext: boolean;
  nextUrl: string | null;
  prevUrl: string | null;
}
